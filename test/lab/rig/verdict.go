package rig

import (
	"time"

	"github.com/amqprun/amqprun/test/lab/oracle"
)

// Verdict checks the properties that hold after every fault. The commands overlapped for
// no more than allowed, which is 0 unless the lock was freed under its holder. No update
// was lost unless they overlapped. The grants are those of a lock.
func (l *Lock) Verdict(allowed time.Duration) {
	l.t.Helper()
	h := l.History()
	overlap := h.Overlap(l.Slots)
	if slot := h.SlotOverlap(); slot > overlap {
		overlap = slot
	}
	Figure(l.t, "overlap", overlap)
	if overlap > allowed {
		l.t.Errorf("commands overlapped for %s, allowed are %s", overlap, allowed)
	}
	if overlap == 0 { // else updates may be lost
		lost, err := h.LostUpdates()
		if err != nil || len(lost) > 0 {
			l.t.Errorf("lost updates: %v, %v", lost, err)
		}
	}
	l.CheckGrants()
}

// CheckGrants checks whether a lock can have made the grants. Where two commands
// overlapped the broker has freed the lock under the first. With Fence the tokens grow
// even then.
func (l *Lock) CheckGrants() {
	l.t.Helper()
	h := l.History()
	freed := map[string]time.Duration{}
	for _, p := range h.Pairs() {
		freed[p.First.ID] = p.First.Start
	}
	if err := h.Check(l.Grants(freed)); err != nil {
		l.t.Error(err)
	}
}

// Grants are those to all contenders. freed is from when on the lock may have been taken
// from a living run, by its ID.
func (l *Lock) Grants(freed map[string]time.Duration) (grants []oracle.Grant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.all {
		g := oracle.Grant{ID: c.ID, Asked: c.Asked, Freed: freed[c.ID]}
		// One that was killed leaves the return to its guard.
		if c.HasEnded() && c.cmd.ProcessState.Exited() {
			g.Gone = c.Ended
		}
		grants = append(grants, g)
	}
	return grants
}

// AwaitExit waits for amqprun's end and checks its exit status.
func (c *Contender) AwaitExit(status int) {
	c.lock.t.Helper()
	c.AwaitExitFor(Patience, status)
}

// AwaitExitFor is AwaitExit with another patience.
func (c *Contender) AwaitExitFor(patience time.Duration, status int) {
	c.lock.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.lock.Verdict(0) // perhaps the oracle knows why
		c.lock.t.Fatalf("%s did not end in %s", c.ID, patience)
	}
	if got := c.cmd.ProcessState.ExitCode(); got != status {
		c.lock.t.Errorf("%s exited with %d, want %d", c.ID, got, status)
	}
}
