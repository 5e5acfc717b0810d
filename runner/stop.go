package runner

import (
	"context"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// lookEvery is how often amqprun looks at the tree for what no SIGCHLD announces: the end
// of processes that are not its descendants.
const lookEvery = 20 * time.Millisecond

// unfinishedAfter is for how long amqprun waits for the dying tree after SIGKILL, or
// after Until if that is later. SIGKILL takes a millisecond. A process that lives on for
// a second hangs in the kernel (a dead network file system), or is not ours to kill
// (sudo).
const unfinishedAfter = time.Second

// stopTree ends every process of the tree: the stop signal, the grace, SIGKILL. It
// returns when all are dead, or when Until is over and something does not die. Without a
// grace it sends nothing but SIGKILL.
func (r *run) stopTree(grace time.Duration) {
	r.stopping = true
	r.ends = ends{} // earlier signals were for the command, and do not end the grace
	begun := sys.Boottime()
	r.c.Guard.stopping()
	if grace > 0 {
		stop := r.c.stopSignal()
		// A stopped process acts on no signal but SIGKILL, hence the SIGCONT.
		r.signalGroup(stop)
		r.signalGroup(syscall.SIGCONT)
		inTime := r.killGroupAt(r.bounded(begun + grace))
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
func (r *run) killGroupAt(at time.Duration) (cancel func()) {
	canceled, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-time.After(at - sys.Boottime()):
			r.signalGroup(syscall.SIGKILL)
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
func (r *run) grace(begun, grace time.Duration, stop syscall.Signal) {
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

// bounded returns the earlier of end and Until.
func (r *run) bounded(end time.Duration) time.Duration {
	if until := r.until(); until != 0 {
		return min(end, until)
	}
	return end
}

// until returns the instant by which the tree has to be dead, 0 for none.
func (r *run) until() time.Duration {
	if r.c.Until == nil {
		return 0
	}
	return r.c.Until()
}

// overdue reports whether to give up on a tree that got SIGKILL at killed. While the
// command itself lives, or after a loss, it is worth trying until the lock is somebody
// else's. Other processes that the command has left behind are in nobody's way.
func (r *run) overdue(killed time.Duration) bool {
	now := sys.Boottime()
	if r.leader.ended && !r.status.Stopped {
		return now > killed+unfinishedAfter
	}
	if !r.status.Stopped && !r.hangs && now > killed+unfinishedAfter {
		r.hangs = true
		r.warnf("the command does not die of SIGKILL; the lock is kept until it does")
	}
	until := r.until()
	return until != 0 && now > max(until, killed)+unfinishedAfter
}

// giveUp reports that some processes do not die.
func (r *run) giveUp(left int) {
	r.status.Unfinished = true
	if !r.leader.collected {
		r.status.wait = syscall.WaitStatus(syscall.SIGKILL) // of which it will die
	}
	r.warnf("%d processes of the command do not die of SIGKILL and may still be running", left)
}

// waitForChild returns when a child has ended, and after d at the latest.
func (r *run) waitForChild(d time.Duration) {
	select {
	case <-r.children:
	case <-time.After(d):
	}
}
