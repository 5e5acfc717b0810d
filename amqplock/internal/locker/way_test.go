package locker

import (
	"errors"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A queue that is in the way of the history costs no time. The broker has answered, and
// no stream can come of that queue.
func TestAQueueInTheWayCostsNoTime(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fence bool
		want  error
	}{{"history", false, nil}, {"fence", true, fault.ErrNotALock}} {
		t.Run(test.name, func(t *testing.T) {
			simulated(t, wire.Mutex, func(t *testing.T, _ *broker.Broker, cfg Config) {
				cfg.History, cfg.Fence = true, test.fence
				block, err := wire.Connect(t.Context(), cfg.Broker)
				if err != nil {
					t.Fatal(err)
				}
				defer block.Abort()
				if err := block.Requests.Claim(wire.LogQueue(cfg.Name)); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				lock, err := Acquire(t.Context(), cfg)
				if !errors.Is(err, test.want) {
					t.Errorf("got %v", err)
				}
				if lock != nil {
					err = lock.Release(t.Context())
				}
				if lock != nil && err != nil || time.Since(begun) > time.Second {
					t.Errorf("released after %s: %v", time.Since(begun), err)
				}
			})
		})
	}
}
