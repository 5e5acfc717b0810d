package locker

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A waiter that wants more slots than there are keeps none of them. It does not block
// those behind it that want less. It gets its turn when there are enough.
func TestTooFewSlotsBlockNobody(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	if err := Resize(t.Context(), cfg.Broker, cfg.Name, 2); err != nil {
		t.Fatal(err)
	}
	many := cfg
	many.Count = 3
	if _, err := TryAcquire(t.Context(), many); !errors.Is(err, fault.ErrNotAcquired) {
		t.Errorf("3 of 2 slots: %v, want ErrNotAcquired", err)
	}
	got := takeLater(t, many)
	awaitWaiters(t, cfg.Name, 1)
	cfg.Count = 2
	first := mustAcquire(t, cfg)
	second := takeLater(t, cfg)
	awaitWaiters(t, cfg.Name, 2)
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case lock := <-second:
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	case <-time.After(testbroker.Patience):
		t.Fatal("the one behind it is not served")
	}
	if err := Resize(t.Context(), cfg.Broker, cfg.Name, 3); err != nil {
		t.Fatal(err)
	}
	if err := (<-got).Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// A semaphore may shrink under the first in the wait queue, which has collected a part.
// It gives that back, and lets those behind it pass that want less.
func TestShrunkenSemaphoreBlocksNobody(t *testing.T) {
	t.Parallel()
	simulated(t, wire.Semaphore, func(t *testing.T, _ *broker.Broker, cfg Config) {
		cfg.retry, cfg.look = time.Hour, time.Hour // hints alone
		if err := Resize(t.Context(), cfg.Broker, cfg.Name, 3); err != nil {
			t.Fatal(err)
		}
		other := testSession(t, cfg)
		if err := other.Requests.Claim(wire.HeldQueue("x", 1)); err != nil {
			t.Fatal(err)
		}
		many := cfg
		many.Count = 3
		collector := takeLater(t, many)
		pass(time.Second)
		waitq.WakeNext(t.Context(), other, "x") // it is the first now, and collects
		pass(time.Second)
		if seen, err := Look(t.Context(), cfg.Broker, cfg.Ref); err != nil || seen.Held != 3 {
			t.Fatalf("it has not collected: %+v, %v", seen, err)
		}
		next := takeLater(t, cfg)
		pass(time.Second)
		if err := Resize(t.Context(), cfg.Broker, cfg.Name, 2); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		select {
		case lock := <-next:
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		default:
			t.Error("the one behind it is not served")
		}
		other.Abort()
		if err := Resize(t.Context(), cfg.Broker, cfg.Name, 3); err != nil {
			t.Fatal(err)
		}
		if err := (<-collector).Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A waiter that keeps a part asks only for the rest. Few free slots at the beginning of a
// long row are no reason to take the semaphore for a short one.
func TestPartOfALongRowIsCompleted(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, 20); err != nil {
		t.Fatal(err)
	}
	cfg.Count = 12
	s := testContender(t, cfg)
	for slot := 9; slot <= 14; slot++ {
		if err := s.claim(t.Context(), slot); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.try(t.Context(), true); err != nil || len(s.held.list()) != 12 {
		t.Errorf("12 of 20 slots, of which 6 were ours and the others free: %v, %v", s.held.list(), err)
	}
}

// The lease of a part that was kept does not count from a later claim of a slot that is
// gone since.
func TestAKeptPartIsProvenAnew(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, 2); err != nil {
		t.Fatal(err)
	}
	cfg.Greedy = true
	s, other := testContender(t, cfg), testContender(t, cfg)
	for slot := 1; slot <= 2; slot++ {
		if err := s.claim(t.Context(), slot); err != nil {
			t.Fatal(err)
		}
	}
	s.held.drop(2)
	s.giveBack(t.Context(), 2)
	if err := other.claim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	before := s.cfg.clock.Now()
	if err := s.try(t.Context(), true); err != nil || !slices.Equal(s.held.list(), []int{1}) {
		t.Fatalf("holds %v: %v", s.held.list(), err)
	}
	if s.sent < before {
		t.Errorf("its proofs were asked for %s before it was taken", before-s.sent)
	}
}

// A drain takes the last slots. A waiter that has collected one of them gives it back:
// the drain would wait for its whole run.
func TestCollectedSlotsAreLeftToADrain(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, 4); err != nil {
		t.Fatal(err)
	}
	cfg.Count = 2
	s := testContender(t, cfg)
	if err := s.claim(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- DrainTo(t.Context(), cfg.Broker, cfg.Name, 3) }()
	waitFor(t, "the slot to be given back", func() bool {
		if err := s.try(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		return !slices.Contains(s.held.list(), 4)
	})
	if err := <-drained; err != nil {
		t.Error(err)
	}
}
