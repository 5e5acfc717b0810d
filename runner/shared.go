package runner

import (
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// shared is what all parts of a run use.
type shared struct {
	c        *Command
	leader   leader
	terminal terminal
	status   Status

	stopping bool     // The tree is being stopped.
	frozen   *freezer // The tree is paused. nil: it is not.
}

// until returns the instant by which the tree has to be dead, 0 for none.
func (r *shared) until() time.Duration {
	if r.c.Until == nil {
		return 0
	}
	return r.c.Until()
}

// bounded returns the earlier of end and Until.
func (r *shared) bounded(end time.Duration) time.Duration {
	if until := r.until(); until != 0 {
		return min(end, until)
	}
	return end
}

// leaseIsOver reports whether we, or the machine, have slept until the lease was over.
func (r *shared) leaseIsOver() bool {
	until := r.until()
	return until != 0 && sys.Boottime() >= until
}

func (r *shared) logf(format string, args ...any) {
	if r.c.Logf != nil {
		Unstoppable(func() { r.c.Logf(format, args...) })
	}
}

func (r *shared) warnf(format string, args ...any) {
	if r.c.Warnf != nil {
		Unstoppable(func() { r.c.Warnf(format, args...) })
	}
}
