package amqplock

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
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

// Who gives up in the very moment of its claim does no harm to another who claims at the same time.
func TestInterruptedClaimHarmsNobody(t *testing.T) {
	cfg := testConfig(t, Mutex)
	cfg.Logf = nil
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
		for deadline := time.Now().Add(10 * time.Second); other.own.claim(cfg.Name) != nil; {
			if time.Now().After(deadline) {
				t.Fatal("the mutex does not come free")
			}
		}
		<-ended
		for granted := time.Now(); time.Since(granted) < 20*time.Millisecond; {
			if err := other.own.look(cfg.Name); err != nil {
				t.Fatalf("round %d: the other's mutex is gone: %v", round, err)
			}
		}
		if err := other.own.remove(cfg.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// A claim that dies with its connection may take another's lock with it. Who holds that finds out, mostly before Acquire returns.
func TestClaimThatDiesIsNoticed(t *testing.T) {
	cfg := testConfig(t, Mutex)
	cfg.Logf = nil
	prober, plain := testSession(t, cfg), testSession(t, cfg)
	dies := func() {
		claimed := make(chan struct{})
		dying := cfg
		dying.Dial = atClaim(func(wire *wireConn) { _ = wire.Conn.Close(); close(claimed) })
		s := testSession(t, dying)
		go func() { _ = s.own.claim(cfg.Name) }()
		<-claimed
	}
	vanishes := func() (gone bool) {
		for granted := time.Now(); !gone && time.Since(granted) < 15*time.Millisecond; {
			var err error
			if gone, err = prober.missing(t.Context(), cfg.Name); err != nil {
				t.Fatal(err)
			}
		}
		return gone
	}
	const rounds = 20
	queues, locks, latest := 0, 0, time.Duration(0)
	for range rounds {
		dies()
		waitFor(t, "the plain claim succeeds", func() bool {
			err := plain.own.claim(cfg.Name)
			for code(err) == amqp.ResourceLocked { // at once, and not at the next tick
				err = plain.own.claim(cfg.Name)
			}
			if err != nil && plain.hold.IsClosed() { // RabbitMQ 4 may answer with 541
				plain = testSession(t, cfg)
			}
			return err == nil
		})
		if vanishes() {
			queues++
		}
		if err := plain.own.remove(cfg.Name); err != nil {
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
	t.Logf("of %d queues that were declared behind a dying claim %d vanished, and of as many locks %d, which was noticed after %s at the latest",
		rounds, queues, locks, latest)
}

// A grant that is gone before the command could start is none.
func TestGrantThatVanishesAtOnce(t *testing.T) {
	for _, kind := range []Kind{Mutex, Semaphore} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			if kind == Semaphore {
				cfg = p.semaphore(cfg, 1)
			}
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
			if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, ErrNotAcquired) {
				t.Errorf("%s: %v, want ErrNotAcquired", kind, err)
			}
			lock := mustAcquire(t, cfg)
			if err := lock.Release(t.Context()); err != nil || claims != 2 {
				t.Errorf("%s: %d claims, then %v", kind, claims, err)
			}
		})
	}
}

// Who gives up closes its connections in the protocol's way: RabbitMQ logs a warning of each that just ends.
func TestWhoGivesUpSaysGoodbye(t *testing.T) {
	for _, kind := range []Kind{Mutex, Semaphore} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			if kind == Semaphore {
				cfg = p.semaphore(cfg, 1)
			}
			p.queues[cfg.Name], p.queues[heldQueue("x", 1)] = &peerConn{}, &peerConn{}
			if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, ErrNotAcquired) {
				t.Errorf("%s: %v, want ErrNotAcquired", kind, err)
			}
			for i, c := range p.conns {
				if c.saw("close") != 1 {
					t.Errorf("%s: connection %d just ended", kind, i)
				}
			}
		})
	}
}
