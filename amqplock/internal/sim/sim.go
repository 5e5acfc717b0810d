// Package sim runs the real code of amqplock, many contenders at a time, against the
// RabbitMQ of test/sim/broker in one synctest bubble. A seed decides who wants what, how
// slow the network is and what breaks; an oracle judges.
//
// It is here and not in test/sim, because it needs the clock of leases, which the public
// API does not have.
package sim

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// patience is how long after the end of all faults somebody may wait. A waiter far behind
// the first looks ever more seldom, but none of them has to.
const patience = 5 * time.Minute

// Run runs the plan, in a bubble.
func Run(ctx context.Context, p *Plan) Result {
	seedRuntime(p.Seed)
	defer unseedRuntime()
	w := &world{plan: p, clock: clock{time.Now()}}
	w.oracle = newOracle(p, w.clock)
	defer func() { w.broker.Close() }()
	w.broker = broker.New(broker.Options{
		Release: p.Release, Seed: p.Seed, Latency: w.latency, Cost: cost, Observe: w.oracle.observe,
	})
	w.broker.QuorumDelay(p.QuorumDelay)
	ctx, w.cancel = context.WithCancel(ctx)
	w.ctx = ctx
	defer w.cancel()
	if p.Prepared {
		w.prepare()
	}
	var all, breaking sync.WaitGroup
	for i := range p.Parties {
		q := &party{world: w, number: i, plan: &p.Parties[i]}
		q.ctx, q.cancel = context.WithCancelCause(ctx)
		w.parties = append(w.parties, q)
	}
	for _, q := range w.parties {
		all.Go(q.run)
	}
	breaking.Go(func() { w.breakThings(ctx) })
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(w.latest()):
		w.findWaiters()
		w.cancel()
		<-done
	}
	breaking.Wait() // the last of it mends what is broken
	w.admins.Wait()
	w.cancel()
	w.findLeftovers()
	w.oracle.mu.Lock()
	defer w.oracle.mu.Unlock()
	return w.oracle.result
}

// latest is when everybody has to have been served.
func (w *world) latest() time.Duration {
	work := time.Duration(0)
	for _, q := range w.plan.Parties {
		for _, r := range q.Rounds {
			work += r.Think + r.Work + r.Stop
		}
	}
	return w.plan.end() + work + patience
}

// findWaiters is called when everybody should have been served.
func (w *world) findWaiters() {
	found := false
	for _, q := range w.parties {
		if doing := q.doing(); doing != "" {
			w.oracle.violation("%s waits for ever: %s", q, doing)
			found = true
		}
	}
	if !found {
		return
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	w.oracle.mu.Lock()
	defer w.oracle.mu.Unlock()
	for one := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(one, "amqplock/internal/locker") {
			w.oracle.note("%s", one)
		}
	}
}

// findLeftovers looks at what is left on the broker when nobody wants anything.
func (w *world) findLeftovers() {
	<-time.After(3*time.Minute + 5*time.Second) // it has noticed who is dead: three heartbeats
	queues, conns := w.broker.Contents()
	if conns > 0 {
		w.oracle.violation("%d connections are left", conns)
	}
	slots := map[string]bool{}
	for _, q := range queues {
		if q.Exclusive || q.Consumers > 0 {
			w.oracle.violation("left behind: %+v", q)
		}
		slots[q.Name] = true
	}
	name := w.plan.Ref.Name
	if !slots[wire.SlotQueue(name, 0)] && !slots[wire.SlotQueue(name, 1)] {
		return // there is no semaphore
	}
	for i := 1; i <= w.plan.Slots+1; i++ { // slot 0 may be missing: a semaphore can do without
		if want := i <= w.plan.Slots; slots[wire.SlotQueue(name, i)] != want {
			w.oracle.violation("of the semaphore with %d slots: slot %d %t", w.plan.Slots, i, !want)
		}
	}
}
