package runner

import (
	"context"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// lookEvery is how often the tree is looked at for what no SIGCHLD announces: processes that are not our descendants.
const lookEvery = 20 * time.Millisecond

// strangers remembers who does not belong to a tree, so that looks which follow one another need not read the same again. The zero value knows nobody.
type strangers struct {
	pids   map[int]bool
	forget time.Duration // Boottime
}

// memory is for how long strangers are remembered: their pids are used again, at the earliest when the smallest pid_max that Linux has by default, 32768,
// has been used up. With less than the looks of a stop take where hundreds are stopped at once it would be of no use.
const memory = 5 * time.Second

// recent returns the map to read and to add to.
func (s *strangers) recent() map[int]bool {
	if now := sys.Boottime(); now > s.forget {
		s.pids, s.forget = make(map[int]bool), now+memory
	}
	return s.pids
}

// stopTree ends every process of the tree: the stop signal, the grace, SIGKILL. It returns when all are dead, or when Until is
// over and something does not die. Without a grace nothing but SIGKILL is sent.
func (r *run) stopTree(grace time.Duration) {
	r.stopping = true
	r.ends.terms, r.ends.all = 0, 0 // what was asked of the running command was no comment on its stop
	begun := sys.Boottime()
	r.c.Guard.stopping()
	if grace > 0 {
		stop := r.c.stopSignal()
		// A stopped process acts on no signal but SIGKILL, hence the SIGCONT.
		r.signalGroup(stop)
		r.signalGroup(syscall.SIGCONT)
		inTime := r.killGroupAt(r.bounded(begun + grace))
		r.tree().signal(stop, syscall.SIGCONT)
		r.grace(begun, grace, stop)
		inTime()
	}
	r.sweep()
	r.status.StopTook = sys.Boottime() - begun
}

// killGroupAt kills the group when its time is over, whatever else is being done then: on a machine that is starved one look through /proc
// can take longer than the grace. It ends when cancel is called.
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

func (c *Command) stopSignal() syscall.Signal {
	if c.Stop == 0 {
		return syscall.SIGTERM
	}
	return c.Stop
}

// grace returns when the tree is gone, when its time is over, or when a second SIGINT or SIGTERM ends the patience. Who carries the command's
// AMQPRUN_ID but does not descend from it gets the stop signal when the command has ended, or after a quarter of the grace: all of /proc has to be read
// for that, by hundreds at the same time where one broker dies, and meanwhile some of them would not have told their commands.
func (r *run) grace(begun, grace time.Duration, stop syscall.Signal) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for told := false; !r.gone() && sys.Boottime() < r.bounded(begun+grace); {
		if !told && (r.leader.ended || sys.Boottime() > begun+grace/4) {
			r.tree().signalAdopted(stop, syscall.SIGCONT)
			told = true
		}
		select {
		case <-r.children:
		case <-tick.C:
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

// overdue reports whether it is time to give up on a tree that SIGKILL was sent to at killed. As long as the command itself lives, or with the
// lock lost, it is worth trying until the lock is somebody else's; what the command has left behind is in nobody's way.
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

// waitForOrphans returns nil when the command's tree has ended, and the cause of ctx when that ends first.
func (r *run) waitForOrphans(ctx context.Context) error {
	if isEcho(r.paused, sys.Boottime()) && Resumable() { // Ctrl-Z came while the command was ending, and those that it has left behind have stopped
		r.suspend(ctx, syscall.SIGTSTP, false, true)
	}
	tick := time.NewTicker(lookEvery * 10)
	defer tick.Stop()
	for !r.gone() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.children:
		case <-tick.C:
		case s := <-r.signals:
			if r.forward(ctx, s) {
				r.stopTree(0)
				return nil
			}
		case err := <-r.verified:
			if err != nil {
				return err
			}
			r.verified = nil
			r.resume()
		}
	}
	return nil
}

// dismiss lets the guard go, unless something has survived the loss of the lock: that it should go on killing.
func (r *run) dismiss() {
	if r.status.Unfinished && (r.status.Stopped || !r.leader.ended) {
		r.c.Guard.abandon()
		return
	}
	r.c.Guard.dismiss()
}
