package locker

import (
	mathrand "math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A run whose lock connection ends while its grant is on its way does not stop the run
// that has the lock by then.
func TestAGrantThatComesTooLateStopsNobody(t *testing.T) {
	t.Parallel()
	const late = 5 * time.Second
	var records atomic.Int64
	var claimed atomic.Pointer[broker.Socket] // the newest lock connection
	simulatedBy(t, broker.Options{
		Cost: func(_ *mathrand.Rand, method, queue string) time.Duration {
			if method == "basic.publish" && queue == wire.LogQueue("x") && records.Add(1) == 1 {
				return late
			}
			return 0
		},
		Observe: func(e broker.Event) {
			if e.Kind == broker.Granted && e.Queue == "x" {
				claimed.Store(e.Socket)
			}
		},
	}, wire.Mutex, func(t *testing.T, _ *broker.Broker, cfg Config) {
		cfg.Fence = true
		tried := make(chan error, 1)
		go func() {
			_, err := TryAcquire(t.Context(), cfg)
			tried <- err
		}()
		pass(late / 5)
		claimed.Load().Reset()
		pass(late / 5)
		lock := mustAcquire(t, cfg)
		if err := <-tried; err == nil {
			t.Error("two runs have the lock")
		}
		pass(late)
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
