package sim

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// world is what all parties of a schedule have in common.
type world struct {
	plan     *Plan
	clock    clock
	findings *findings
	ledger   *ledger
	oracle   *oracle
	network  *network
	broker   *broker.Broker
}

func newWorld(p *Plan) *world {
	w := &world{plan: p, clock: clock{time.Now()}, network: &network{base: p.Base}}
	w.findings = newFindings(w.clock)
	w.ledger = newLedger(p, w.clock, w.findings)
	w.oracle = newOracle(p, w.ledger, w.findings)
	w.broker = broker.New(broker.Options{
		Release: p.Release, Seed: p.Seed, Latency: w.network.latency, Cost: cost,
		Observe: w.ledger.observe,
	})
	w.broker.QuorumDelay(p.QuorumDelay)
	return w
}

// prepare makes the semaphore.
func (w *world) prepare() {
	for i := range w.plan.Slots + 1 {
		w.broker.MakeQuorum(wire.SlotQueue(w.plan.Ref.Name, i))
	}
}

// network draws how long a message takes.
type network struct {
	base time.Duration

	mu   sync.Mutex
	slow time.Duration // it is slower by up to that
}

func (n *network) slowBy(most time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow = most
}

func (n *network) latency(dice *rand.Rand) time.Duration {
	n.mu.Lock()
	slow := n.slow
	n.mu.Unlock()
	d := n.base/2 + upTo(dice, n.base)
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
