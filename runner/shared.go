package runner

import (
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// until returns the instant by which the tree has to be dead, 0 for none.
func (r *run) until() time.Duration {
	if r.c.Until == nil {
		return 0
	}
	return r.c.Until()
}

// leaseIsOver reports whether we, or the machine, have slept until the lease was over.
func (r *run) leaseIsOver() bool {
	until := r.until()
	return until != 0 && sys.Boottime() >= until
}

func (r *run) logf(format string, args ...any) {
	if r.c.Logf != nil {
		Unstoppable(func() { r.c.Logf(format, args...) })
	}
}

func (r *run) warnf(format string, args ...any) {
	if r.c.Warnf != nil {
		Unstoppable(func() { r.c.Warnf(format, args...) })
	}
}
