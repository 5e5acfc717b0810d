package sim

import (
	"slices"
	"strings"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
)

// command is what runs under the lock.
type command struct {
	party  *party
	queues []string
	paused bool

	// These have begun in one of its slots meanwhile.
	robbers []*party
}

// begin is called when a party has been granted the lock.
func (o *oracle) begin(p *party, h *locker.Holder) *command {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := &command{party: p}
	o.result.Seen["command"]++
	slots := h.Slots()
	o.uses(c, slots)
	if want := p.plan.Count; want > 0 && len(slots) != want {
		o.violate("%s got slots %v and not %d", p, slots, want)
	}
	if o.joins[p] > 1 && o.plan.only("alarm") && p.plain() {
		o.violate("%s had %d places in the wait queue, one after the other", p, o.joins[p])
	}
	if token := h.Token(); p.plan.Fence {
		if token <= o.floors[p] || o.tokens[token] != nil {
			o.violate("%s got token %d after %d", p, token, o.floors[p])
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
			o.violate("%s counts slot %d twice: %v", c.party, slot, slots)
			continue
		}
		o.takes(c, queue)
	}
	for _, queue := range before {
		if o.alive[queue] == c && !slices.Contains(c.queues, queue) {
			delete(o.alive, queue)
		}
	}
}

// takes notes that a command uses a queue. The caller has the mutex.
func (o *oracle) takes(c *command, queue string) {
	if other := o.alive[queue]; other != nil && other.party != c.party {
		other.robbers = append(other.robbers, c.party)
		if !o.frozen[other.party] && !o.frozen[c.party] {
			o.overlap(c, other, queue)
		}
	}
	o.alive[queue] = c
}

// overlap judges that a command begins while another one is alive.
func (o *oracle) overlap(c, other *command, queue string) {
	if other.paused {
		if o.plan.Reserved {
			o.violate("%s got %s while the command of %s is paused", c.party, queue, other.party)
		}
		return
	}
	excused, why := o.without(other.party, queue)
	if !excused { // or the newcomer has lost it just after the grant
		excused, _ = o.without(c.party, queue)
	}
	if !excused {
		o.violate("%s got %s while the command of %s is alive (%s)", c.party, queue, other.party, why)
		return
	}
	o.result.Seen["overlap that the documents name"]++
}

// freeze is called when the process of a party stops.
func (o *oracle) freeze(p *party) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frozen[p] = true
	o.result.Seen["process frozen"]++
}

// thaw is called when it goes on, and has had the time to kill its command.
func (o *oracle) thaw(p *party) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frozen[p] = false
	p.mu.Lock()
	c := p.command
	p.mu.Unlock()
	if c == nil || c.paused || p.isDead() {
		return
	}
	for _, queue := range c.queues {
		o.takes(c, queue)
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
	c.paused = true
}

// resumes is called when the command goes on, or is killed because of err. It may be
// killed only if its lock was another's, could not be had in time, or was a slot that an
// administrator has removed. It may go on only if no other that keeps a history has had
// the lock.
func (o *oracle) resumes(c *command, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.paused = false
	resized := o.plan.has("resize") || o.plan.has("drain")
	recorded := slices.ContainsFunc(c.robbers, func(p *party) bool { return p.plan.Fence })
	switch {
	case err == nil && recorded:
		o.violate("%s goes on although %s had its lock", c.party, c.robbers)
	case err == nil:
		o.result.Seen["lock taken again"]++
		for _, queue := range c.queues {
			o.takes(c, queue)
		}
	case len(c.robbers) > 0, c.party.isDead(), strings.Contains(err.Error(), "not taken again within"),
		resized && strings.Contains(err.Error(), "it was removed"):
		o.note("%s: %v", c.party, err)
	default:
		o.violate("%s must not go on, and nobody has had its lock: %v", c.party, err)
	}
}

// end is called when the command is dead.
func (o *oracle) end(c *command) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, queue := range c.queues {
		if o.alive[queue] == c {
			delete(o.alive, queue)
		}
	}
}
