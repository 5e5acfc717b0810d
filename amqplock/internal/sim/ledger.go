package sim

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// oracle knows what the broker has done and which commands are alive, and compares.
type oracle struct {
	plan  *Plan
	clock clock

	mu      sync.Mutex
	whose   map[*broker.Socket]*party
	tenures map[place]*tenure
	alive   map[string]*command // by the queue that it holds
	frozen  map[*party]bool     // its command is not alive
	joins   map[*party]int      // places in the wait queue, in this wait
	tokens  map[int64]*party
	floors  map[*party]int64 // the largest token at the beginning of this wait
	talks   map[*broker.Socket]bool
	holds   map[*broker.Socket]bool
	split   time.Time // the newest

	// The newest good answers about an own queue, and about a quorum queue.
	owned, majority map[place]time.Time

	order  order
	result Result
}

// place is a queue in the hands of a party.
type place struct {
	party *party
	queue string
}

// tenure is from the grant of an exclusive queue to its end.
type tenure struct {
	granted, freed time.Time // not freed: zero
	why            broker.Reason
	how            broker.Ending
	socket         *broker.Socket
	split          time.Time // the newest when it was freed
}

func newOracle(p *Plan, c clock) *oracle {
	return &oracle{
		plan: p, clock: c, whose: map[*broker.Socket]*party{}, tenures: map[place]*tenure{},
		owned: map[place]time.Time{}, majority: map[place]time.Time{}, joins: map[*party]int{},
		alive: map[string]*command{}, frozen: map[*party]bool{}, tokens: map[int64]*party{},
		floors: map[*party]int64{}, talks: map[*broker.Socket]bool{}, holds: map[*broker.Socket]bool{},
		result: Result{Seen: map[string]int{}},
	}
}

// dialed notes whose connection that is.
func (o *oracle) dialed(s *broker.Socket, p *party) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.whose[s] = p
}

// observe is called by the broker.
func (o *oracle) observe(e broker.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.whose[e.Socket]
	at := place{p, e.Queue}
	if o.plan.strict() {
		if wrong := o.order.observe(e, p, o.plan); wrong != "" {
			o.violate("%s", wrong)
		}
	}
	switch e.Kind {
	case broker.Granted:
		o.tenures[at] = &tenure{granted: e.At, socket: e.Socket}
		if o.plan.isLock(e.Queue) {
			o.holds[e.Socket] = true
			o.separate(e.Socket)
		}
	case broker.Published:
		o.talks[e.Socket] = true
		o.separate(e.Socket)
	case broker.Freed:
		if t := o.tenures[at]; t != nil && t.socket == e.Socket && t.freed.IsZero() {
			t.freed, t.why, t.how, t.split = e.At, e.Why, e.How, o.split
			if o.plan.isLock(e.Queue) {
				o.result.Seen["lock freed, "+string(e.Why)+" "+string(e.How)]++
			}
		}
	case broker.Answer:
		o.owned[at] = e.At
	case broker.Majority:
		o.majority[at] = e.At
	case broker.Joined:
		if e.Queue == wire.WaitQueue(o.plan.Ref.Name) {
			o.joins[p]++
		}
	case broker.Refused:
		o.note("the broker closed a connection of %s: %s", p, e.Text)
		o.joins[p]-- // it comes back to another place
		if !o.mayRefuse(e.Text) {
			o.violate("the broker closed a connection of %s: %s", p, e.Text)
		}
	}
}

// waits is called when a party begins to want the lock.
func (o *oracle) waits(p *party) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.joins[p], o.floors[p] = 0, 0
	for token := range o.tokens {
		o.floors[p] = max(o.floors[p], token)
	}
}

// separate checks that a connection which holds does not publish: an alarm would stop it.
func (o *oracle) separate(s *broker.Socket) {
	if o.talks[s] && o.holds[s] {
		o.violate("the lock connection of %s publishes", o.whose[s])
	}
}

// splits is called when a node is cut off.
func (o *oracle) splits() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.split = time.Now()
}

// renewed is called with the end of a lease. It is right only if each kind of question
// was answered well by a broker that got it less than a lease before.
func (o *oracle) renewed(p *party, slots []int, until time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	proven := o.clock.at(until).Add(-o.plan.lease())
	var owned, quorum []string
	for _, slot := range slots {
		owned = append(owned, o.plan.Ref.Held(slot))
		if quorum = append(quorum, wire.Witness); o.plan.Ref.Kind == wire.Semaphore {
			quorum[len(quorum)-1] = wire.SlotQueue(o.plan.Ref.Name, slot)
		}
	}
	o.compare(p, proven, "about the owner", o.owned, owned)
	o.compare(p, proven, "of a majority", o.majority, quorum)
}

// compare checks that the newest answers about each queue are not older than a lease
// counts from. A check of an elastic set may have begun before the newest slot was one of
// it. So there the answer about any slot counts, which came over the same connection.
func (o *oracle) compare(
	p *party, proven time.Time, what string, answers map[place]time.Time, queues []string,
) {
	latest := time.Time{}
	for _, queue := range queues {
		newest := answers[place{p, queue}]
		if newest.After(latest) {
			latest = newest
		}
		if !p.plan.Elastic && proven.After(newest) {
			o.violate("%s counts its lease of %s from %s after the last answer %s", p, queue,
				proven.Sub(newest), what)
		}
	}
	if proven.After(latest) && p.plan.Elastic && len(queues) > 0 {
		o.violate("%s counts its lease from %s after the last answer %s", p, proven.Sub(latest), what)
	}
}

// without reports whether the documents allow for the party to go on without its queue.
func (o *oracle) without(p *party, queue string) (excused bool, why string) {
	t := o.tenures[place{p, queue}]
	if t == nil || t.freed.IsZero() {
		return false, "the broker believes that it holds it"
	}
	until := t.freed.Add(o.excuse(t))
	if t.why == broker.SplitOff { // the other side may be late to notice
		until = t.split.Add(o.plan.lease() + o.plan.slowest())
	}
	return !time.Now().After(until),
		fmt.Sprintf("its queue is gone since %s: %s, %s", time.Since(t.freed), t.why, t.how)
}

// excuse is for how long two commands may be alive at once after the first has lost its
// queue: docs/explanation/guarantees.md names the cases.
func (o *oracle) excuse(t *tenure) time.Duration {
	within := o.plan.Stop + o.plan.slowest()
	switch {
	case t.why == broker.Vanished, t.why == broker.ByName:
		within += locker.DefaultCheckInterval
	case t.why != broker.EndOfConnection:
		return 0
	case t.how != broker.BrokerClosed && t.how != broker.BrokerKilled && t.how != broker.NetworkReset:
		return 0
	}
	if t.socket.IsDeaf(t.freed) { // it does not hear of that, or late
		return o.plan.lease()
	}
	return within
}

// isLock reports whether the exclusive queue grants something.
func (p *Plan) isLock(queue string) bool {
	return queue == p.Ref.Name || strings.HasPrefix(queue, p.Ref.Name+"-B-")
}

// mayRefuse reports whether the plan has a reason for the broker to close a connection.
func (o *oracle) mayRefuse(text string) bool {
	return strings.Contains(text, "INTERNAL_ERROR") && o.plan.QuorumDelay > 0
}
