package locker

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// newcomer is one that wants a lock of regainable, and keeps a history.
func newcomer(cfg Config) Config {
	cfg.Regain, cfg.Fence = 0, true
	cfg.About = named("newcomer")
	return cfg
}

// lostFor takes a lock that may be regained within d, and loses it.
func lostFor(t *testing.T, cfg Config, d time.Duration) *Holder {
	t.Helper()
	cfg.Regain = d
	lock := cut(t, cfg)
	lock.disconnect()
	return lock
}

// refused checks that a try ends because the lock is reserved.
func refused(t *testing.T, cfg Config) {
	t.Helper()
	_, err := TryAcquire(t.Context(), cfg)
	if !errors.Is(err, fault.ErrNotAcquired) ||
		!strings.Contains(err.Error(), "may take it again for") {
		t.Errorf("got %v", err)
	}
}

// TestOthersLeaveALostLockAlone, each of them.
func TestOthersLeaveALostLockAlone(t *testing.T) {
	t.Parallel()
	eachRegainable(t, func(t *testing.T, cfg Config) {
		cfg.Slots = min(cfg.Slots, 1)
		lostFor(t, cfg, time.Hour)
		for range 2 {
			refused(t, newcomer(cfg))
		}
	})
}

// TestALostLockIsTakenWhenItsTimeIsOver, which counts from when the first newcomer has
// found the lock free.
func TestALostLockIsTakenWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	eachRegainable(t, func(t *testing.T, cfg Config) {
		cfg.Slots = min(cfg.Slots, 1)
		const reserved = 2 * time.Second
		lostFor(t, cfg, reserved)
		begun := time.Now()
		lock := mustAcquire(t, newcomer(cfg))
		if took := time.Since(begun); took < reserved {
			t.Errorf("taken after %s", took)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustAcquire(t, newcomer(cfg)) // the crash is forgotten
	})
}

// TestReservedSlotIsGotOnce in a try, also if the note that it is reserved comes into the
// log late. A try that relied on the log would get the slot again and again.
func TestReservedSlotIsGotOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var records atomic.Int64
		b := broker.New(broker.Options{
			Cost: func(_ *mathrand.Rand, method, queue string) time.Duration {
				if method == "basic.publish" && queue == wire.LogQueue("s") && records.Add(1) == 2 {
					return time.Second // the note, which comes behind the grant
				}
				return 0
			},
		})
		defer b.Close()
		cfg := Config{
			Broker: wire.Broker{URLs: []string{"amqp://n1"}, Dial: b.DialContext},
			Ref:    wire.Ref{Kind: wire.Semaphore, Name: "s"}, Slots: 1, Count: 1,
			Fence: true, Regain: time.Hour,
		}
		cut(t, cfg).disconnect()
		records.Store(0)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		grants := 0
		other := newcomer(cfg)
		other.Log = onLog(func(text string) {
			if strings.Contains(text, "granted and checked") {
				if grants++; grants > 1 {
					cancel()
				}
			}
		})
		if _, err := TryAcquire(ctx, other); !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("got %v", err)
		}
		if grants != 1 {
			t.Errorf("it has got the slot %d times", grants)
		}
	})
}

// TestOthersTakeOtherSlots than the one that is reserved.
func TestOthersTakeOtherSlots(t *testing.T) {
	t.Parallel()
	cfg := regainable(t, wire.Semaphore)
	lost := lostFor(t, cfg, time.Hour)
	one, two := newcomer(cfg), newcomer(cfg)
	two.About = named("two")
	a, b := mustAcquire(t, one), mustAcquire(t, two)
	for _, lock := range []*Holder{a, b} {
		if lock.Slots()[0] == lost.Slots()[0] {
			t.Error("the reserved slot was taken")
		}
	}
	refused(t, newcomer(cfg))
	for _, lock := range []*Holder{a, b} {
		if err := lock.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all := newcomer(cfg)
	all.Count = All
	refused(t, all)
}

// TestWaiterGetsALockThatWasRegained when its holder gives it back, although the time is
// not over.
func TestWaiterGetsALockThatWasRegained(t *testing.T) {
	t.Parallel()
	eachRegainable(t, func(t *testing.T, cfg Config) {
		cfg.Slots = min(cfg.Slots, 1)
		lock := lostFor(t, cfg, time.Hour)
		waiting := make(chan struct{}, 100)
		waiter := newcomer(cfg)
		waiter.Log = onLog(func(text string) {
			if strings.Contains(text, "may take it again") {
				waiting <- struct{}{}
			}
		})
		got := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), testbroker.Patience)
		defer cancel()
		go func() {
			next, err := Acquire(ctx, waiter)
			if err == nil {
				err = next.Release(context.Background())
			}
			got <- err
		}()
		<-waiting
		again := mustRegain(t, lock)
		if err := again.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := again.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		runs := runsOf(t, cfg)
		if len(runs) != 2 || runs[0].End == nil || runs[0].End.Result != "released" {
			t.Errorf("runs: %+v", runs)
		}
	})
}

// TestOthersTakeALockThatHasAnEnd at once: it was lost for good, or released.
func TestOthersTakeALockThatHasAnEnd(t *testing.T) {
	t.Parallel()
	cfg := regainable(t, wire.Mutex)
	lock := cut(t, cfg)
	_ = lock.Release(t.Context())
	lock, err := TryAcquire(t.Context(), newcomer(cfg))
	if err != nil {
		t.Fatal(err)
	}
	_ = lock.Release(t.Context())
}
