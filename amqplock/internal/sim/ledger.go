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

// ledger is what the broker has done, and what it has answered to whom.
type ledger struct {
	plan     *Plan
	clock    clock
	findings *findings

	mu      sync.Mutex
	whose   map[*broker.Socket]*party
	tenures map[place]*tenure
	joins   map[*party]int // places in the wait queue, in this wait
	talks   map[*broker.Socket]bool
	holds   map[*broker.Socket]bool
	split   time.Time // the newest
	order   order

	// The newest good answers about an own queue, and about a quorum queue.
	owned, majority map[place]time.Time
	proofs          map[*broker.Socket]time.Time // of a majority, on one connection
}

// place is a queue in the hands of a party.
type place struct {
	party *party
	queue string
}

// tenure is from the grant of an exclusive queue to its end.
type tenure struct {
	freed  time.Time // zero: not yet
	why    broker.Reason
	how    broker.Ending
	socket *broker.Socket
	split  time.Time // the newest when it was freed
}

func newLedger(p *Plan, c clock, f *findings) *ledger {
	return &ledger{
		plan: p, clock: c, findings: f,
		whose: map[*broker.Socket]*party{}, tenures: map[place]*tenure{}, joins: map[*party]int{},
		talks: map[*broker.Socket]bool{}, holds: map[*broker.Socket]bool{},
		owned: map[place]time.Time{}, majority: map[place]time.Time{},
		proofs: map[*broker.Socket]time.Time{},
	}
}

// dialed notes whose connection that is.
func (l *ledger) dialed(s *broker.Socket, p *party) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whose[s] = p
}

// observe is called by the broker.
func (l *ledger) observe(e broker.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.whose[e.Socket]
	at := place{p, e.Queue}
	if l.plan.strict() {
		if wrong := l.order.observe(e, p, l.plan); wrong != "" {
			l.findings.violation("%s", wrong)
		}
	}
	switch e.Kind {
	case broker.Granted:
		l.tenures[at] = &tenure{socket: e.Socket}
		if l.plan.isLock(e.Queue) {
			l.holds[e.Socket] = true
			l.separate(e.Socket)
		}
	case broker.Published:
		l.talks[e.Socket] = true
		l.separate(e.Socket)
	case broker.Freed:
		if t := l.tenures[at]; t != nil && t.socket == e.Socket && t.freed.IsZero() {
			t.freed, t.why, t.how, t.split = e.At, e.Why, e.How, l.split
			if l.plan.isLock(e.Queue) {
				l.findings.saw("lock freed, " + string(e.Why) + " " + string(e.How))
			}
		}
	case broker.Answer:
		l.owned[at] = e.At
	case broker.Majority:
		l.majority[at] = e.At
		l.proofs[e.Socket] = e.At
	case broker.Joined:
		if e.Queue == wire.WaitQueue(l.plan.Ref.Name) {
			l.joins[p]++
		}
	case broker.Refused:
		l.findings.note("the broker closed a connection of %s: %s", p, e.Text)
		l.joins[p]-- // it comes back to another place
		if !l.plan.mayRefuse(e.Text) {
			l.findings.violation("the broker closed a connection of %s: %s", p, e.Text)
		}
	}
}

// separate checks that a connection which holds does not publish: an alarm would stop it.
func (l *ledger) separate(s *broker.Socket) {
	if l.talks[s] && l.holds[s] {
		l.findings.violation("the lock connection of %s publishes", l.whose[s])
	}
}

// waits is called when a party begins to want the lock.
func (l *ledger) waits(p *party) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joins[p] = 0
}

// places is how many the party has had in the wait queue since then.
func (l *ledger) places(p *party) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.joins[p]
}

// splits is called when a node is cut off.
func (l *ledger) splits() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.split = time.Now()
}

// renewed is called with the end of a lease. It is right only if each kind of question
// was answered well by a broker that got it less than a lease before. The publish
// connection may be at another node, so the lock connection has to be asked too.
func (l *ledger) renewed(p *party, slots []int, until time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	proven := l.clock.at(until).Add(-l.plan.lease())
	var owned, quorum []string
	proof := time.Time{}
	for _, slot := range slots {
		t := l.tenures[place{p, l.plan.Ref.Held(slot)}]
		if t != nil && l.proofs[t.socket].After(proof) {
			proof = l.proofs[t.socket]
		}
		owned = append(owned, l.plan.Ref.Held(slot))
		if quorum = append(quorum, wire.Witness); l.plan.Ref.Kind == wire.Semaphore {
			quorum[len(quorum)-1] = wire.SlotQueue(l.plan.Ref.Name, slot)
		}
	}
	l.compare(p, proven, "about the owner", l.owned, owned)
	l.compare(p, proven, "of a majority", l.majority, quorum)
	if proven.After(proof) && len(slots) > 0 {
		l.findings.violation("%s counts its lease from %s after the last proof on its lock connection",
			p, proven.Sub(proof))
	}
}

// compare checks that the newest answers about each queue are not older than a lease
// counts from. A check of an elastic set may have begun before the newest slot was one of
// it. So there the answer about any slot counts, which came over the same connection.
func (l *ledger) compare(
	p *party, proven time.Time, what string, answers map[place]time.Time, queues []string,
) {
	latest := time.Time{}
	for _, queue := range queues {
		newest := answers[place{p, queue}]
		if newest.After(latest) {
			latest = newest
		}
		if !p.Elastic && proven.After(newest) {
			l.findings.violation("%s counts its lease of %s from %s after the last answer %s", p, queue,
				proven.Sub(newest), what)
		}
	}
	if proven.After(latest) && p.Elastic && len(queues) > 0 {
		l.findings.violation("%s counts its lease from %s after the last answer %s", p,
			proven.Sub(latest), what)
	}
}

// beside reports whether commands of two parties may be alive with one queue. The one
// that has lost it first may go on for a while.
func (l *ledger) beside(older, newer *party, queue string) (excused bool, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first *tenure
	for _, p := range []*party{older, newer} {
		t := l.tenures[place{p, queue}]
		if t != nil && !t.freed.IsZero() && (first == nil || t.freed.Before(first.freed)) {
			first = t
		}
	}
	if first == nil {
		return false, "the broker believes that both hold it"
	}
	until := first.freed.Add(l.excuse(first))
	switch split := first.why == broker.SplitOff; {
	case split && older.Fence && newer.Fence: // the newer one waits for the older one's end
		until = time.Time{}
	case split: // the other side may be late to notice
		until = first.split.Add(l.plan.lease() + l.plan.slowest())
	}
	return !time.Now().After(until), fmt.Sprintf("%s has lost it %s ago: %s, %s",
		l.whose[first.socket], time.Since(first.freed), first.why, first.how)
}

// excuse is for how long two commands may be alive at once after the first has lost its
// queue: docs/explanation/guarantees.md names the cases.
func (l *ledger) excuse(t *tenure) time.Duration {
	within := l.plan.Stop + l.plan.slowest()
	switch {
	case t.why == broker.Vanished, t.why == broker.ByName:
		within += locker.DefaultCheckInterval
	case t.why != broker.EndOfConnection:
		return 0
	case t.how != broker.BrokerClosed && t.how != broker.BrokerKilled && t.how != broker.NetworkReset:
		return 0
	}
	if t.socket.IsDeaf(t.freed) { // it does not hear of that, or late
		return l.plan.lease()
	}
	return within
}

// isLock reports whether the exclusive queue grants something.
func (p *Plan) isLock(queue string) bool {
	return queue == p.Ref.Name || strings.HasPrefix(queue, p.Ref.Name+"-B-")
}

// mayRefuse reports whether the plan has a reason for the broker to close a connection.
func (p *Plan) mayRefuse(text string) bool {
	return strings.Contains(text, "INTERNAL_ERROR") && p.QuorumDelay > 0
}
