package locker

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// atClaim calls then when the claim of a mutex has just been sent.
func atClaim(then func(*wireConn)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialWire(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		wire := conn.(*wireConn)
		wire.onMethod = func() {
			if wire.sent(50, 10) == 1 { // queue.declare
				wire.onMethod = nil
				then(wire)
			}
		}
		return wire, nil
	}
}

// claimSoon claims a mutex again and again without a pause, and returns the session that
// has it: RabbitMQ 4 may end one with 541 meanwhile.
func claimSoon(t *testing.T, cfg Config, s *wire.Link) *wire.Link {
	t.Helper()
	for deadline := time.Now().Add(testbroker.Patience); s.Requests.Claim(cfg.Name) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the mutex does not come free")
		}
		if s.Lock.IsClosed() {
			s = testSession(t, cfg)
		}
	}
	return s
}

// A contender that gives up in the very moment of its claim takes nothing from another
// that claims at the same time.
func TestInterruptedClaimAffectsNobodyElse(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.Log = nil
	other := testSession(t, cfg)
	for round := range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		claimed, ended := make(chan struct{}), make(chan struct{})
		mine := cfg
		mine.Dial = atClaim(func(*wireConn) { cancel(); close(claimed) })
		go func() {
			defer close(ended)
			if lock, err := Acquire(ctx, mine); err == nil {
				t.Error("acquired, with a context that had ended before the answer")
				_ = lock.Release(t.Context())
			}
		}()
		<-claimed
		other = claimSoon(t, cfg, other)
		<-ended
		for granted := time.Now(); time.Since(granted) < 20*time.Millisecond; {
			if err := other.Requests.Look(cfg.Name); err != nil {
				t.Fatalf("round %d: the other's mutex is gone: %v", round, err)
			}
		}
		if err := other.Requests.Remove(cfg.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// A claim that dies with its connection may take another's lock with it. Who holds that
// finds out, mostly before Acquire returns.
func TestClaimThatDiesIsNoticed(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.Log = nil
	prober, plain := testSession(t, cfg), testSession(t, cfg)
	dies := func() {
		claimed := make(chan struct{})
		dying := cfg
		dying.Dial = atClaim(func(wire *wireConn) { _ = wire.Conn.Close(); close(claimed) })
		s := testSession(t, dying)
		go func() { _ = s.Requests.Claim(cfg.Name) }()
		<-claimed
	}
	vanishes := func() (gone bool) {
		for granted := time.Now(); !gone && time.Since(granted) < 15*time.Millisecond; {
			var err error
			if gone, err = prober.Missing(t.Context(), cfg.Name); err != nil {
				t.Fatal(err)
			}
		}
		return gone
	}
	const rounds = 20
	queues, locks, latest := 0, 0, time.Duration(0)
	for range rounds {
		dies()
		plain = claimSoon(t, cfg, plain)
		if vanishes() {
			queues++
		}
		switch err := plain.Requests.Remove(cfg.Name); {
		case wire.Code(err) == amqp.InternalError: // RabbitMQ 4, where the queue is just vanishing
			plain = testSession(t, cfg)
		case err != nil:
			t.Fatal(err)
		}
		dies()
		lock := mustAcquire(t, cfg)
		if granted := time.Now(); vanishes() {
			_ = waitLost(t, lock)
			locks, latest = locks+1, max(latest, time.Since(granted))
		}
		_ = lock.Release(t.Context())
	}
	t.Logf(
		"%d queues were declared behind a dying claim: %d vanished, "+
			"and of as many locks %d, noticed after %s at the latest",
		rounds,
		queues,
		locks,
		latest,
	)
}

// A grant that is gone before the command could start is none.
func TestGrantThatVanishesAtOnce(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		claims := 0
		p.answer(func(r *request) bool {
			if r.method != "claim" {
				return false
			}
			r.serve()
			if claims++; claims == 1 {
				delete(p.queues, r.queue)
			}
			return true
		})
		if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("%v, want ErrNotAcquired", err)
		}
		lock := mustAcquire(t, cfg)
		if err := lock.Release(t.Context()); err != nil || claims != 2 {
			t.Errorf("%d claims, then %v", claims, err)
		}
	})
}

// Who gives up closes its connections in the protocol's way: RabbitMQ logs a warning of
// each that just ends.
func TestGivingUpClosesInTheProtocol(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		p.queues[cfg.Name], p.queues[wire.HeldQueue("x", 1)] = &peerConn{}, &peerConn{}
		if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("%v, want ErrNotAcquired", err)
		}
		for i, c := range p.conns {
			if c.saw("close") != 1 {
				t.Errorf("connection %d just ended", i)
			}
		}
	})
}

// An elastic set that is lost while it claims one more slot closes its connection too.
// The claim must not die with the connection.
func TestLostSetClosesInTheProtocol(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 2)
		cfg.Greedy, cfg.Elastic = true, true
		p.queues[wire.HeldQueue(cfg.Name, 2)] = &peerConn{}
		lock := mustAcquire(t, cfg)
		hold := p.connOf(lock.link.Lock)
		var claiming atomic.Bool
		p.answer(func(r *request) bool {
			if r.method == "claim" {
				claiming.Store(true)
				r.stall()
			}
			return r.method == "claim"
		})
		p.mu.Lock()
		delete(p.queues, wire.HeldQueue(cfg.Name, 2))
		p.mu.Unlock()
		for began := time.Now(); !claiming.Load() && time.Since(began) < time.Minute; {
			pass(time.Millisecond)
		}
		lock.lose("x", errors.New("evicted"))
		if err := lock.Release(t.Context()); !errors.Is(err, fault.ErrLost) {
			t.Error(err)
		}
		if !claiming.Load() || hold.saw("close") != 1 {
			t.Errorf("claiming %t, %d closes", claiming.Load(), hold.saw("close"))
		}
	})
}

// The first checks of a lock come at once, and then ever more rarely.
func TestEarlyChecks(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		lock := mustAcquire(t, cfg)
		var looks atomic.Int32
		began := time.Now()
		p.answer(func(r *request) bool {
			if r.method == "look" && r.queue == lock.cfg.Held(lock.Slots()[0]) {
				looks.Add(1)
			}
			return false
		})
		for i, ms := range []int{20, 100, 300, 1000, 2000, 5000, 8000} {
			pass(time.Duration(ms)*time.Millisecond - time.Since(began) - 1)
			early := looks.Load()
			pass(1)
			if now := looks.Load(); int(early) != i || int(now) != i+1 {
				t.Errorf("%d looks before %d ms after the grant, %d then; want %d and %d",
					early, ms, now, i, i+1)
			}
		}
	})
}
