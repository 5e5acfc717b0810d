package runner

import (
	"fmt"
	"os"
	"time"
)

// guarded keeps a guard beside the command.
type guarded struct {
	shared
	guardDue <-chan time.Time // When to start the guard. Nil: there is one, or never.
	unarmed  bool             // A warning says that there is no guard.
}

// guardAfter is when the guard is started. A shorter command does not pay for its start,
// a fifth of the time that amqprun takes.
const guardAfter = 50 * time.Millisecond

// guardAgain is how long after a failure the guard is started again.
const guardAgain = time.Second

// startGuard starts the guard if there is none.
func (r *guarded) startGuard() {
	r.guardDue = nil
	err := r.c.Guard.start(orders{
		Amqprun:   int32(os.Getpid()),
		Group:     int32(r.leader.pid),
		Born:      r.leader.born(),
		Signal:    int32(r.c.stopSignal()),
		KillAfter: r.c.KillAfter,
		Pauses:    r.c.Pause != nil,
	}, r.c.ID)
	if err != nil {
		r.guardFailed(err)
	}
}

// guardEnded replaces a guard that has ended. One that ends at once would do so again.
func (r *guarded) guardEnded(lived time.Duration) {
	if lived > guardAgain {
		r.startGuard()
	} else {
		r.guardFailed(fmt.Errorf("it died after %v", lived.Round(time.Millisecond)))
	}
}

func (r *guarded) guardFailed(err error) {
	if !r.unarmed {
		r.warnf("there is no guard process (%v); "+
			"until there is, kill -9 of amqprun frees the lock at once", err)
	}
	r.unarmed = true
	r.guardDue = time.After(guardAgain)
}

// dismiss lets the guard go, unless something has survived the loss of the lock: then the
// guard goes on killing.
func (r *guarded) dismiss() {
	if r.status.Unfinished && (r.status.Stopped || !r.leader.ended) {
		r.c.Guard.abandon()
		return
	}
	r.c.Guard.dismiss()
}
