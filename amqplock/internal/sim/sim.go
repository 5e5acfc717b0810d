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
)

// patience is how long after the end of all faults somebody may wait. A waiter far behind
// the first looks ever more seldom, but none of them has to.
const patience = 5 * time.Minute

// Run runs the plan, in a bubble.
func Run(ctx context.Context, p *Plan) Result {
	seedRuntime(p.Seed)
	defer unseedRuntime()
	w := newWorld(p)
	defer w.broker.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if p.Prepared {
		w.prepare()
	}
	b := &breaker{world: w, ctx: ctx}
	var contenders []*contender
	for i := range p.Parties {
		q := &process{world: w, party: &party{&p.Parties[i], i}}
		q.ctx, q.cancel = context.WithCancelCause(ctx)
		b.processes = append(b.processes, q)
		contenders = append(contenders, &contender{process: q})
	}
	var all, breaking sync.WaitGroup
	for _, q := range contenders {
		all.Go(q.run)
	}
	breaking.Go(b.run)
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(p.latest()):
		findWaiters(w, contenders)
		cancel()
		<-done
	}
	breaking.Wait() // the last of it mends what is broken
	b.admins.Wait()
	cancel()
	findLeftovers(w)
	return w.findings.all()
}

// latest is when everybody has to have been served.
func (p *Plan) latest() time.Duration {
	work := time.Duration(0)
	for _, q := range p.Parties {
		for _, r := range q.Rounds {
			work += r.Think + r.Work + r.Stop
		}
	}
	return p.end() + work + patience
}

// findWaiters is called when everybody should have been served.
func findWaiters(w *world, all []*contender) {
	found := false
	for _, q := range all {
		if doing := q.doing(); doing != "" {
			w.findings.violation("%s waits for ever: %s", q.party, doing)
			found = true
		}
	}
	if !found {
		return
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for one := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(one, "amqplock/internal/locker") {
			w.findings.note("%s", one)
		}
	}
}

// findLeftovers looks at what is left on the broker when nobody wants anything.
func findLeftovers(w *world) {
	<-time.After(3*time.Minute + 5*time.Second) // it has noticed who is dead: three heartbeats
	queues, conns := w.broker.Contents()
	if conns > 0 {
		w.findings.violation("%d connections are left", conns)
	}
	slots := map[string]bool{}
	for _, q := range queues {
		if q.Exclusive || q.Consumers > 0 {
			w.findings.violation("left behind: %+v", q)
		}
		slots[q.Name] = true
	}
	name := w.plan.Ref.Name
	if !slots[wire.SlotQueue(name, 0)] && !slots[wire.SlotQueue(name, 1)] {
		return // there is no semaphore
	}
	for i := 1; i <= w.plan.Slots+1; i++ { // slot 0 may be missing: a semaphore can do without
		if want := i <= w.plan.Slots; slots[wire.SlotQueue(name, i)] != want {
			w.findings.violation("of the semaphore with %d slots: slot %d %t", w.plan.Slots, i, !want)
		}
	}
}
