package locker

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A holder of all slots has those of the instant of the grant, whatever was added or
// removed during the wait. Nobody adds one while it holds them.
func TestAllFollowsTheNumberOfSlots(t *testing.T) {
	t.Parallel()
	for _, step := range []struct{ from, to int }{{2, 2}, {2, 3}, {3, 1}} {
		cfg := testConfig(t, wire.Semaphore)
		if err := Resize(t.Context(), cfg.Broker, cfg.Name, step.from); err != nil {
			t.Fatal(err)
		}
		reader, all := mustAcquire(t, cfg), cfg
		all.Count = All
		if _, err := TryAcquire(t.Context(), all); !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("one slot is held: %v, want ErrNotAcquired", err)
		}
		got := takeLater(t, all)
		awaitWaiters(t, cfg.Name, 1)
		if step.to >= step.from {
			if err := Resize(t.Context(), cfg.Broker, cfg.Name, step.to); err != nil {
				t.Fatal(err)
			}
		} else {
			shrunk := make(chan error)
			go func() { shrunk <- DrainTo(t.Context(), cfg.Broker, cfg.Name, step.to) }()
			defer func() {
				if err := <-shrunk; err != nil {
					t.Error(err)
				}
			}()
		}
		if err := reader.Release(t.Context()); err != nil {
			t.Error(err)
		}
		lock := <-got
		if n := slotsOf(t, cfg); len(lock.Slots()) != n || slices.Max(lock.Slots()) != n {
			t.Errorf("holds %v of %d slots", lock.Slots(), n)
		}
		if step.to >= step.from {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			if err := Adjust(ctx, cfg.Broker, cfg.Name, 1); err == nil || slotsOf(t, cfg) != step.to {
				t.Errorf("a slot was added beside the holder of all: %v", err)
			}
			cancel()
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if err := Adjust(t.Context(), cfg.Broker, cfg.Name, 1); err != nil {
			t.Errorf("after the release: %v", err)
		}
	}
}

// A drain comes before those that want all slots. Else the next of them would have these
// at each release, and the drain would never end.
func TestAllWaitsForADrain(t *testing.T) {
	t.Parallel()
	simulated(t, wire.Semaphore, func(t *testing.T, _ *broker.Broker, cfg Config) {
		if err := Resize(t.Context(), cfg.Broker, cfg.Name, 3); err != nil {
			t.Fatal(err)
		}
		cfg.Count = All
		lock := mustAcquire(t, cfg)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		drained := make(chan error)
		go func() { drained <- DrainTo(ctx, cfg.Broker, cfg.Name, 0) }()
		pass(2 * time.Second)
		next := takeLater(t, cfg)
		pass(2 * time.Second)
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("during the drain: %v, want ErrNotAcquired", err)
		}
		if err := <-drained; err != nil {
			t.Errorf("the drain: %v", err)
		}
		if err := Resize(t.Context(), cfg.Broker, cfg.Name, 2); err != nil {
			t.Error(err)
		}
		if err := (<-next).Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Readers take a slot and writers all, while slots are added and removed. A writer is
// alone, and everybody gets a turn.
func TestReadersAndWriters(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Log = nil
	if err := Resize(t.Context(), cfg.Broker, cfg.Name, 8); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var readers, writers atomic.Int32
	work := func(mine, others *atomic.Int32, alone bool, mode Config) error {
		for range 3 {
			lock, err := Acquire(ctx, mode)
			if err != nil {
				return err
			}
			if n := mine.Add(1); alone && n > 1 {
				t.Errorf("%d writers", n)
			}
			if n := others.Load(); n > 0 {
				t.Errorf("%d of the others at the same time", n)
			}
			<-time.After(20 * time.Millisecond) // long beside the time that a release takes
			mine.Add(-1)
			if err := lock.Release(ctx); err != nil && !errors.Is(err, fault.ErrLost) {
				return err
			}
		}
		return nil
	}
	var party errgroup.Group
	for range 20 {
		party.Go(func() error { return work(&readers, &writers, false, cfg) })
	}
	all := cfg
	all.Count = All
	for range 3 {
		party.Go(func() error { return work(&writers, &readers, true, all) })
	}
	done := make(chan error)
	changing, stop := context.WithCancel(ctx)
	go func() {
		var err error
		for n := 4; err == nil && changing.Err() == nil; n = 12 - n {
			err = DrainTo(changing, cfg.Broker, cfg.Name, n)
			if errors.Is(err, fault.ErrNotAcquired) {
				err = nil // a writer has had all slots for long
			}
		}
		done <- err
	}()
	if err := party.Wait(); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the changes ended with %v", err)
	}
}

// A set of all slots is not granted while somebody keeps adding some.
func TestAllWhileSlotsAreAdded(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 1)
		cfg.Count = All
		slots := 1
		p.answer(func(r *request) bool {
			if r.method == "claim" && r.queue == wire.HeldQueue("x", 0) {
				slots++
				r.queues[wire.SlotQueue("x", slots)] = nil
			}
			return false
		})
		lock, err := TryAcquire(t.Context(), cfg)
		if !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("holds %v of %d slots: %v", lock.Slots(), slots, err)
			_ = lock.Release(t.Context())
		}
	})
}

// A waiter whose claim to be alone was answered late keeps nobody from adding slots.
func TestLateClaimToBeAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 1)
		cfg.Count, cfg.retry = All, time.Hour
		alone := wire.HeldQueue("x", 0)
		p.answer(func(r *request) bool {
			late := r.method == "claim" && r.queue == alone
			if late {
				time.AfterFunc(15*time.Second, func() {
					p.mu.Lock()
					defer p.mu.Unlock()
					r.serve()
				})
			}
			return late
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := Acquire(ctx, cfg)
			ended <- err
		}()
		pass(30 * time.Second)
		if p.owned(alone) {
			t.Error("a waiter has the queue of one that is alone")
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A holder of all slots that is not alone any more has lost them, like one that has lost
// a slot. The next check finds out, and the release does.
func TestHolderOfAllThatIsNotAlone(t *testing.T) {
	t.Parallel()
	for _, released := range []bool{false, true} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cfg = p.semaphore(cfg, 2)
			cfg.Count = All
			lock := mustAcquire(t, cfg)
			pass(10 * time.Second)
			p.mu.Lock()
			p.queues[wire.HeldQueue("x", 0)] = &peerConn{} // another's, after a fault of a cluster
			p.mu.Unlock()
			if !released {
				pass(DefaultCheckInterval)
				if err := context.Cause(lock.Context()); !errors.Is(err, fault.ErrLost) {
					t.Errorf("after a check: %v, want ErrLost", err)
				}
			}
			if err := lock.Release(t.Context()); !errors.Is(err, fault.ErrLost) {
				t.Errorf("the release: %v, want ErrLost", err)
			}
		})
	}
}
