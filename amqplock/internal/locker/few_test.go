package locker

import (
	"errors"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
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
	began := time.Now()
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	lock := <-second
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the one behind it was served after %s", took)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := Resize(t.Context(), cfg.Broker, cfg.Name, 3); err != nil {
		t.Fatal(err)
	}
	if err := (<-got).Release(t.Context()); err != nil {
		t.Error(err)
	}
}
