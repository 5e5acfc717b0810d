package locker

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// A drain waits for the holder of the last slot. It needs at most five operations of the
// broker in a second for that, whatever the number of slots.
func TestDrainAsksLittle(t *testing.T) {
	t.Parallel()
	for _, slots := range []int{1, 100, 1000} {
		for name, drain := range map[string]func(context.Context, Config) error{
			"-1": func(ctx context.Context, cfg Config) error { return Drain(ctx, cfg.Broker, cfg.Name, 1) },
			"--to": func(ctx context.Context, cfg Config) error {
				return DrainTo(ctx, cfg.Broker, cfg.Name, slots-1)
			},
		} {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				cfg = p.semaphore(cfg, slots)
				const held = 100 * time.Second
				p.heldFor(wire.HeldQueue("x", slots), held)
				operations, begun := 0, time.Now()
				p.answer(func(r *request) bool {
					if passed := time.Since(begun); passed > 0 && passed < held {
						operations++
					}
					return false
				})
				if err := drain(t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
				if most := 5 * int(held/time.Second); operations > most {
					t.Errorf("%s of %d slots: %d operations in %s, at most %d",
						name, slots, operations, held, most)
				}
				if p.owned(wire.HeldQueue("x", slots)) || time.Since(begun) > held+drainPoll {
					t.Errorf("%s of %d slots took %s", name, slots, time.Since(begun))
				}
			})
		}
	}
}

// Nobody takes a slot that a drain will remove, and all others are there to take.
func TestDrainKeepsNewcomersOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ slots, to int }{{3, 0}, {4, 2}, {20, 1}, {20, 9}, {200, 150}} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cfg = p.semaphore(cfg, c.slots)
			p.queues[wire.HeldQueue("x", c.slots)] = &peerConn{} // for ever
			ctx, interrupt := context.WithCancel(t.Context())
			drained := make(chan error)
			go func() { drained <- DrainTo(ctx, cfg.Broker, cfg.Name, c.to) }()
			pass(time.Second)
			if seen, err := Look(t.Context(), cfg.Broker, cfg.Ref); err != nil || seen.Left != c.to {
				t.Errorf("%v: a drain leaves %d of %d, %v", c, seen.Left, seen.Slots, err)
			}
			greedy := cfg
			greedy.Greedy = true
			lock, err := TryAcquire(t.Context(), greedy)
			if c.to == 0 {
				if !errors.Is(err, fault.ErrNotAcquired) {
					t.Errorf("%v: %v, want ErrNotAcquired", c, err)
				}
			} else if err != nil || len(lock.Slots()) != c.to || slices.Max(lock.Slots()) != c.to {
				t.Errorf("%v: holds %v, %v", c, lock.Slots(), err)
			}
			interrupt()
			if err := <-drained; !errors.Is(err, context.Canceled) {
				t.Errorf("%v: the drain ended with %v", c, err)
			}
			synctest.Wait()
			rest := mustAcquire(t, greedy) // all are there again
			if got := len(rest.Slots()); got != c.slots-c.to-1 {
				t.Errorf("%v: after the drain %d slots are free", c, got)
			}
			_ = rest.Release(t.Context())
			if lock != nil {
				_ = lock.Release(t.Context())
			}
		})
	}
}

func TestDrainOfANegativeNumber(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, math.MinInt} {
		if err := Drain(t.Context(), wire.Broker{}, "x", n); !errors.Is(err, fault.ErrConfig) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// A drain to a number is done when there are as many slots, whatever there was before.
// The next drain does what an interrupted one has left.
func TestDrainTo(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	drainTo := func(ctx context.Context, n int) error { return DrainTo(ctx, cfg.Broker, cfg.Name, n) }
	for _, n := range []int{3, 5, 2, 0, 0, 4} { // the first makes it
		if err := drainTo(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if got := slotNumbers(t, cfg.Name, 6); len(got) != n+1 || holesIn(got) {
			t.Errorf("to %d: slots %v", n, got)
		}
	}
	cfg.Greedy = true
	lock := mustAcquire(t, cfg)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupted := make(chan error)
	go func() { interrupted <- drainTo(ctx, 1) }()
	look := testSession(t, cfg)
	is := func(queue string) bool {
		missing, err := look.Missing(t.Context(), queue)
		if err != nil {
			t.Fatal(err)
		}
		return !missing
	}
	target, mark := wire.DrainTarget(cfg.Name), wire.DrainQueue(cfg.Name)
	waitFor(t, "the drain has begun", func() bool { return is(target) })
	if err := drainTo(t.Context(), 1); !errors.Is(err, fault.ErrNotAcquired) {
		t.Errorf("a second drain: %v, want ErrNotAcquired", err)
	}
	interrupt()
	if err := <-interrupted; !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	waitFor(t, "the drain has left no mark", func() bool { return !is(target) && !is(mark) })
	resumed := make(chan error)
	go func() { resumed <- drainTo(t.Context(), 1) }()
	waitFor(t, "the drain goes on", func() bool { return is(target) })
	if err := lock.Context().Err(); err != nil {
		t.Errorf("the holder has lost its slots: %v", err)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-resumed; err != nil {
		t.Error(err)
	}
	if got := slotsOf(t, cfg); got != 1 {
		t.Errorf("%d slots, want 1", got)
	}
}

// The broker removes the queues of a killed drain one after the other.
func TestDrainAfterAKilledOne(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 3)
		p.heldFor(wire.DrainTarget("x"), time.Second)
		p.heldFor(wire.TargetBits("x", 2)[0], time.Second/2)
		if err := DrainTo(t.Context(), cfg.Broker, cfg.Name, 2); err != nil {
			t.Error(err)
		}
	})
}
