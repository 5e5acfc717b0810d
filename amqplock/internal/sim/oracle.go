package sim

import (
	"slices"
	"strings"
	"sync"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
)

// oracle knows which commands are alive, and compares that with the ledger.
type oracle struct {
	plan     *Plan
	ledger   *ledger
	findings *findings

	mu     sync.Mutex
	alive  map[string][]*command // by the queue that they use
	frozen map[*party]bool       // its command is not alive
	tokens map[int64]*party
	floors map[*party]int64 // the largest token at the beginning of this wait
}

// command is what runs under the lock.
type command struct {
	party  *party
	queues []string
	paused bool
	dead   bool

	// These have begun in one of its slots meanwhile.
	robbers []*party
}

func newOracle(p *Plan, l *ledger, f *findings) *oracle {
	return &oracle{
		plan: p, ledger: l, findings: f, alive: map[string][]*command{}, frozen: map[*party]bool{},
		tokens: map[int64]*party{}, floors: map[*party]int64{},
	}
}

// waits is called when a party begins to want the lock.
func (o *oracle) waits(p *party) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ledger.waits(p)
	o.floors[p] = 0
	for token := range o.tokens {
		o.floors[p] = max(o.floors[p], token)
	}
}

// begin is called when a party has been granted the lock.
func (o *oracle) begin(p *party, h *locker.Holder) *command {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := &command{party: p}
	o.findings.saw("command")
	slots := h.Slots()
	o.uses(c, slots)
	want := p.Count
	if want == locker.All && !o.plan.resized() {
		want = o.plan.Slots
	}
	if want > 0 && len(slots) != want {
		o.findings.violation("%s got slots %v and not %d", p, slots, want)
	}
	o.alone(c)
	// With priorities a waiter leaves its place for another.
	if n := o.ledger.places(p); n > 1 && o.plan.only("alarm") && !o.plan.ranked() {
		o.findings.violation("%s had %d places in the wait queue, one after the other", p, n)
	}
	if token := h.Token(); p.Fence {
		if token <= o.floors[p] || o.tokens[token] != nil {
			o.findings.violation("%s got token %d after %d", p, token, o.floors[p])
		}
		o.tokens[token] = p
	}
	return c
}

// uses notes which slots a command uses from now on. The caller has the mutex.
func (o *oracle) uses(c *command, slots []int) {
	before := c.queues
	c.queues = nil
	for i, slot := range slots {
		queue := o.plan.Ref.Held(slot)
		c.queues = append(c.queues, queue)
		if i > 0 && slots[i-1] == slot {
			o.findings.violation("%s counts slot %d twice: %v", c.party, slot, slots)
			continue
		}
		if !slices.Contains(before, queue) {
			o.takes(c, queue)
		}
	}
	for _, queue := range before {
		if !slices.Contains(c.queues, queue) {
			o.leaves(c, queue)
		}
	}
}

// takes notes that a command uses a queue. The caller has the mutex.
func (o *oracle) takes(c *command, queue string) {
	if c.dead {
		return
	}
	for _, other := range o.alive[queue] {
		if other.party == c.party {
			continue
		}
		other.robbers = append(other.robbers, c.party)
		if !o.frozen[other.party] && !o.frozen[c.party] {
			o.overlap(c, other, queue)
		}
	}
	if !slices.Contains(o.alive[queue], c) {
		o.alive[queue] = append(o.alive[queue], c)
	}
}

// leaves notes that a command does not use a queue any more. The caller has the mutex.
func (o *oracle) leaves(c *command, queue string) {
	o.judge(c, queue)
	o.alive[queue] = slices.DeleteFunc(o.alive[queue], func(other *command) bool {
		return other == c
	})
}

// judgeAll is judge for all queues. The caller has the mutex.
func (o *oracle) judgeAll(c *command) {
	for _, queue := range c.queues {
		o.judge(c, queue)
	}
}

// judge looks again at the overlaps of a command, before it ends or is stopped. Each may
// last only as long as the documents say. The caller has the mutex.
func (o *oracle) judge(c *command, queue string) {
	if c.paused || o.frozen[c.party] || !slices.Contains(o.alive[queue], c) {
		return
	}
	for _, other := range o.alive[queue] {
		if other.party == c.party || other.paused || o.frozen[other.party] {
			continue
		}
		if excused, why := o.ledger.beside(other.party, c.party, queue); !excused {
			o.findings.violation("%s and %s are both alive with %s (%s)", other.party, c.party, queue,
				why)
		}
	}
}

// alone judges that a command begins beside one in other slots, where one of the two
// wants all. The caller has the mutex.
func (o *oracle) alone(c *command) {
	seen := map[*command]bool{c: true}
	for _, all := range o.alive {
		for _, other := range all {
			if !seen[other] {
				seen[other] = true
				o.judgeAlone(c, other)
			}
		}
	}
}

// judgeAlone judges a newer command beside an older one. The caller has the mutex.
func (o *oracle) judgeAlone(c, other *command) {
	same := func(queue string) bool { return slices.Contains(other.queues, queue) }
	switch {
	case c.party.Count != locker.All && other.party.Count != locker.All,
		slices.ContainsFunc(c.queues, same), // takes has judged
		other.paused, o.frozen[other.party], o.frozen[c.party]:
		return
	case c.party.Count == locker.All && o.plan.resized(): // the other's slot was removed
		return
	}
	for _, one := range []*command{c, other} {
		for _, queue := range append(slices.Clone(one.queues), o.plan.Ref.Held(0)) {
			if excused, _ := o.ledger.beside(one.party, one.party, queue); excused {
				return
			}
		}
	}
	o.findings.violation("%s got %s while the command of %s with %s is alive, and one wants all",
		c.party, c.queues, other.party, other.queues)
}

// overlap judges that a command begins while another one is alive.
func (o *oracle) overlap(c, other *command, queue string) {
	if other.paused {
		if o.plan.Reserved {
			o.findings.violation("%s got %s while the command of %s is paused", c.party, queue,
				other.party)
		}
		return
	}
	excused, why := o.ledger.beside(other.party, c.party, queue)
	if !excused {
		o.findings.violation("%s got %s while the command of %s is alive (%s)", c.party, queue,
			other.party, why)
		return
	}
	o.findings.saw("overlap that the documents name")
}

// freeze is called when the process of a party stops. c is nil if no command is alive.
func (o *oracle) freeze(p *party, c *command) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c != nil {
		o.judgeAll(c)
	}
	o.frozen[p] = true
	o.findings.saw("process frozen")
}

// thaw is called when it goes on, and has had the time to kill its command.
func (o *oracle) thaw(p *party, c *command) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frozen[p] = false
	if c != nil {
		o.judgeAll(c)
	}
}

// changes is called when an elastic set has changed.
func (o *oracle) changes(c *command, slots []int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.uses(c, slots)
}

// pauses is called when a command is stopped by SIGSTOP, because its lock was lost.
func (o *oracle) pauses(c *command) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.judgeAll(c)
	c.paused = true
}

// resumes is called when the command goes on, or is killed because of err. It may be
// killed only if its lock was another's, could not be had in time, or was a slot that an
// administrator has removed. It may go on only if no other that keeps a history has had
// the lock.
func (o *oracle) resumes(c *command, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.paused = err != nil // it is killed while it is stopped
	recorded := slices.ContainsFunc(c.robbers, func(p *party) bool { return p.Fence })
	switch {
	case err == nil && recorded:
		o.findings.violation("%s goes on although %s had its lock", c.party, c.robbers)
	case err == nil:
		o.findings.saw("lock taken again")
		for _, queue := range c.queues {
			o.takes(c, queue)
		}
	case len(c.robbers) > 0, c.dead, strings.Contains(err.Error(), "not taken again within"),
		o.plan.resized() && strings.Contains(err.Error(), "it was removed"):
		o.findings.note("%s: %v", c.party, err)
	default:
		o.findings.violation("%s must not go on, and nobody has had its lock: %v", c.party, err)
	}
}

// end is called when the command is dead.
func (o *oracle) end(c *command) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.dead = true
	for _, queue := range c.queues {
		o.leaves(c, queue)
	}
}
