package runner

import (
	"context"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// stopper ends the tree.
type stopper struct{ sweeper }

// stopTree ends every process of the tree: the stop signal, the grace, SIGKILL. It
// returns when all are dead, or when Until is over and something does not die. Without a
// grace it sends nothing but SIGKILL.
func (r *stopper) stopTree(grace time.Duration) {
	r.stopping = true
	r.ends = ends{} // earlier signals were for the command, and do not end the grace
	begun := sys.Boottime()
	if grace <= 0 {
		r.c.Guard.stopping(0)
	} else {
		end := r.bounded(begun + grace)
		r.c.Guard.stopping(end)
		stop := r.c.stopSignal()
		// A stopped process acts on no signal but SIGKILL, hence the SIGCONT.
		r.leader.signalGroup(stop)
		r.leader.signalGroup(syscall.SIGCONT)
		inTime := r.killGroupAt(end)
		r.startGuard() // which a grace needs, however young the command is
		r.tree().signal(stop, syscall.SIGCONT)
		r.grace(begun, grace, stop)
		inTime()
	}
	r.sweep()
	r.status.StopTook = sys.Boottime() - begun
}

// killGroupAt kills the group at that instant, whatever else is being done. On a
// starved machine one look through /proc can take longer than the grace.
func (r *stopper) killGroupAt(at time.Duration) (cancel func()) {
	canceled, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-time.After(at - sys.Boottime()):
			r.leader.signalGroup(syscall.SIGKILL)
		case <-canceled:
		}
	}()
	return func() {
		close(canceled)
		<-ended // before the leader is collected, whose number the group has
	}
}

// grace returns when the tree is gone, when its time is over, or at a second SIGINT or
// SIGTERM. A process that carries the command's AMQPRUN_ID may descend from another. It
// gets the stop signal when the command has ended, or after a quarter of the grace. All
// of /proc has to be read for that. Where one broker dies, hundreds of amqpruns do so
// at the same time, and the commands must have their signals before.
func (r *stopper) grace(begun, grace time.Duration, stop syscall.Signal) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for signalled := false; !r.gone() && sys.Boottime() < r.bounded(begun+grace); {
		if !signalled && (r.leader.ended || sys.Boottime() > begun+grace/4) {
			r.tree().signalAdopted(stop, syscall.SIGCONT)
			signalled = true
		}
		select {
		case <-r.children:
		case <-tick.C:
		case <-r.guardDue:
			r.startGuard()
		case s := <-r.signals:
			r.forward(context.Background(), s)
			if r.ends.all > 1 {
				return
			}
		}
	}
}
