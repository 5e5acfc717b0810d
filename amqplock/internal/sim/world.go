package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// world is one schedule that runs.
type world struct {
	plan    *Plan
	broker  *broker.Broker
	oracle  *oracle
	clock   clock
	parties []*party
	ctx     context.Context // of everybody
	cancel  context.CancelFunc
	admins  sync.WaitGroup

	mu   sync.Mutex
	ends []context.CancelFunc // of administrators
	slow time.Duration        // the network is slower by up to that
}

// prepare makes the semaphore.
func (w *world) prepare() {
	for i := range w.plan.Slots + 1 {
		w.broker.MakeQuorum(wire.SlotQueue(w.plan.Ref.Name, i))
	}
}

// latency is that of the network.
func (w *world) latency(dice *rand.Rand) time.Duration {
	w.mu.Lock()
	slow := w.slow
	w.mu.Unlock()
	d := w.plan.Base/2 + upTo(dice, w.plan.Base)
	if slow > 0 {
		d += upTo(dice, slow)
	}
	return d
}

// cost is how long the broker takes.
func cost(dice *rand.Rand, method, _ string) time.Duration {
	switch method {
	case "queue.declare", "queue.delete":
		return upTo(dice, 2*time.Millisecond)
	case "basic.get", "confirm", "basic.consume":
		return upTo(dice, time.Millisecond)
	}
	return 0
}
