package locker

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// Hints alone serve all waiters, also where several slots come free at once and a hint
// is merged with another. The slow retry and the looks from behind the first are switched
// off, so a single lost hint would stall the wait queue.
func TestHintsAloneServeEveryone(t *testing.T) {
	t.Parallel()
	for _, slots := range []int{1, 3} {
		cfg := testConfig(t, wire.Semaphore)
		cfg.Slots, cfg.retry, cfg.look, cfg.Log = slots, time.Hour, time.Hour, nil
		var holders, most atomic.Int32
		var party errgroup.Group
		for range 12 {
			party.Go(func() error {
				for range 10 {
					lock, err := Acquire(t.Context(), cfg)
					if err != nil {
						return err
					}
					n := holders.Add(1)
					for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
					}
					holders.Add(-1)
					if err := lock.Release(t.Context()); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := party.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := int(most.Load()); got > slots {
			t.Errorf("%d holders of %d slots", got, slots)
		}
	}
}

// What a hand-over needs is open before: also a waiter that found others before it claims
// without a round trip for its channel. There are four of them: deletion, hint, claim,
// last look.
func TestHandOverTakesFourRoundTrips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const latency, slack = 10 * time.Millisecond, time.Millisecond
		b := broker.New(broker.Options{Latency: func(*rand.Rand) time.Duration { return latency }})
		defer b.Close()
		cfg := Config{
			Broker: wire.Broker{Dial: b.DialContext}, Ref: wire.Ref{Kind: wire.Mutex, Name: "x"},
			StopTime: 5 * time.Second, clock: &bubbleClock{start: time.Now()},
			retry: time.Hour, look: time.Hour, // a hand-over would wait for one under way
		}
		holder := mustAcquire(t, cfg)
		var waiters []<-chan *Holder
		for range 3 {
			waiters = append(waiters, takeLater(t, cfg))
			pass(2 * time.Second)
		}
		for i, waiter := range waiters {
			begun := time.Now()
			released := make(chan error, 1)
			go func() { released <- holder.Release(t.Context()) }()
			holder = <-waiter
			if took := time.Since(begun); took > 8*latency+slack {
				t.Errorf("hand-over %d took %s", i+1, took)
			}
			if err := <-released; err != nil {
				t.Error(err)
			}
			pass(2500 * time.Millisecond) // no check is under way then
		}
		_ = holder.Release(t.Context())
	})
}

// A waiter that got a slot has left the wait queue while it holds. The next waiter is
// woken for the next slot.
func TestHolderStandsInNobodysWay(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots, cfg.retry, cfg.look = 2, time.Hour, time.Hour // hints alone
	first, second := mustAcquire(t, cfg), mustAcquire(t, cfg)
	granted := make(chan error, 2)
	for range 2 {
		go func() {
			lock, err := Acquire(t.Context(), cfg)
			granted <- err
			if err == nil {
				<-t.Context().Done() // holds on
				_ = lock.Release(context.Background())
			}
		}()
	}
	awaitWaiters(t, cfg.Name, 2)
	for _, holder := range []*Holder{first, second} {
		if err := holder.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := testbroker.Receive(t, "the end of a wait", granted); err != nil {
			t.Fatal(err)
		}
	}
}

// The same where the slot came free without a hint, just before the time was over. The
// last try then has a second.
func TestHolderByTheLastTryStandsInNobodysWay(t *testing.T) {
	t.Parallel()
	simulated(t, wire.Semaphore, func(t *testing.T, _ *broker.Broker, cfg Config) {
		cfg.retry, cfg.look = time.Hour, time.Hour // hints alone
		other := holdAll(t, cfg, 2)
		ctx, end := context.WithCancelCause(t.Context())
		defer end(nil)
		last := make(chan *Holder, 1)
		go func() {
			lock, err := Acquire(ctx, cfg)
			if err != nil {
				t.Error(err)
			}
			last <- lock
		}()
		pass(2 * time.Second)
		next := takeLater(t, cfg)
		pass(2 * time.Second)
		for slot := range 2 {
			if err := other.Requests.Remove(wire.HeldQueue(cfg.Name, slot+1)); err != nil {
				t.Fatal(err)
			}
		}
		end(context.DeadlineExceeded)
		holder := <-last
		if holder == nil {
			return
		}
		lock := testbroker.Receive(t, "service of the next waiter, by a hint", next)
		if lock == nil {
			return
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if err := holder.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A waiter that has heard nothing for long has the first waiter try, and does not try
// itself: it would overtake those before it.
func TestNobodyOvertakesInTheQueue(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	holder := testSession(t, cfg)
	if err := holder.Requests.Claim(cfg.Name); err != nil {
		t.Fatal(err)
	}
	ahead, leave := joinQueue(t, cfg.Name)
	cfg.retry, cfg.look = time.Millisecond, time.Hour // a look may take what the first leaves alone
	waiting, stop := context.WithCancel(t.Context())
	defer stop()
	got := make(chan *Holder, 1)
	go func() {
		lock, err := Acquire(waiting, cfg)
		if err != nil {
			t.Error(err)
		}
		got <- lock
	}()
	awaitWaiters(t, cfg.Name, 2)
	if err := holder.Requests.Remove(cfg.Name); err != nil { // without a hint
		t.Fatal(err)
	}
	for range 3 { // its tries, if it did, would have come as often
		select {
		case hint := <-ahead:
			if err := hint.Ack(false); err != nil {
				t.Fatal(err)
			}
		case <-got:
			t.Fatal("the second waiter has overtaken the first")
		case <-time.After(testbroker.Patience):
			t.Fatal("the first waiter got no hint")
		}
	}
	select {
	case <-got:
		t.Fatal("the second waiter has overtaken the first")
	default:
	}
	leave()
	if lock := <-got; lock != nil {
		_ = lock.Release(t.Context())
	}
}

// A crash is known to the wait queue within milliseconds: the message of the last will
// expires into it.
func TestCrashWakesTheQueue(t *testing.T) {
	t.Parallel()
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		t.Run(string(kind), func(t *testing.T) {
			cfg := testConfig(t, kind)
			if kind == wire.Semaphore {
				cfg.Slots = 1
			}
			cfg.retry = time.Hour
			holderCfg := cfg
			holderCfg.Dial = dialWire
			holder := mustAcquire(t, holderCfg)
			waitFor(t, "the last will is armed", func() bool { return isArmed(holder) })
			granted := make(chan string, 1)
			passThrough(t, cfg, granted, "the waiter")
			awaitWaiters(t, cfg.Name, 1)
			crash(holder)
			servedInOrder(t, granted, "the waiter")
		})
	}
}

// A releaser closes its connections only when the next waiter has had the time to claim
// the lock. Where nobody waits it ends at once.
func TestStepAside(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		for _, line := range []bool{false, true} {
			for _, held := range []time.Duration{presence.Delay / 2, 2 * presence.Delay} {
				lock := mustAcquire(t, cfg)
				pass(held)
				hold, begun, hinted, closed := p.connOf(lock.link.Lock), time.Now(), false, time.Duration(-1)
				p.answer(func(r *request) bool {
					switch {
					case r.method == "publish" && r.queue == wire.WaitQueue(cfg.Name):
						hinted = true
					case r.method == "close" && r.peerConn == hold:
						closed = time.Since(begun)
					case r.method == "delete" && r.queue == wire.WaitQueue(cfg.Name) && line:
						r.closeChannel(
							amqp.PreconditionFailed,
							"PRECONDITION_FAILED - queue 'x-W' in vhost '/' in use",
						)
						return true
					}
					return false
				})
				if line {
					p.queues[wire.WaitQueue(cfg.Name)] = nil
				}
				if err := lock.Release(t.Context()); err != nil {
					t.Error(err)
				}
				p.answer(nil)
				want := time.Duration(0)
				if line {
					want = aside
				}
				if line && !hinted || closed != want {
					t.Errorf("with a queue %t, held for %s: gave a hint %t, closed after %s, want %s",
						line, held, hinted, closed, want)
				}
			}
		}
	})
}

// In an alarm the broker does not read what a releaser has to say to the line, who does
// not wait for it.
func TestReleaseInAnAlarmWaitsForNothing(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		lock := mustAcquire(t, cfg)
		synctest.Wait() // for the preparations
		if err := lock.link.OpenPublish(t.Context()); err != nil {
			t.Fatal(err)
		}
		publish := p.connOf(lock.link.Publish())
		p.mu.Lock()
		publish.alarm("low on memory")
		p.mu.Unlock()
		synctest.Wait()
		begun := time.Now()
		if err := lock.Release(t.Context()); err != nil || time.Since(begun) > 0 {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

// The broker cuts its texts to 255 bytes: what a release needs of them is not the name.
func TestLockWithALongNameIsHandedOver(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.Name, cfg.retry = (cfg.Name + strings.Repeat("x", 300))[:246], time.Hour
	holder, err := Acquire(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	hints, _ := joinQueue(t, cfg.Name)
	if err := holder.Release(t.Context()); err != nil { // most often without a second connection
		t.Fatal(err)
	}
	testbroker.Receive(t, "a hint", hints)
}
