package runner

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// run is the state of a running command. One goroutine owns it.
type run struct {
	c        *Command
	leader   leader
	children <-chan os.Signal // SIGCHLD
	signals  <-chan os.Signal
	guardDue <-chan time.Time // when to start the guard; nil: there is one, or never
	verified chan error       // receives Verify's answer; nil: it has not been asked
	ends     ends
	terminal terminal
	status   Status

	stopping bool          // The tree is being stopped.
	frozen   *freezer      // The tree is paused. nil: it is not.
	tstp     time.Duration // When SIGTSTP was passed on. 0: none follows.
	wants    bool          // The command gets the terminal when it goes on.

	resumed bool // we sent a SIGCONT that is still to be read
	hangs   bool // the command does not die of SIGKILL
	unarmed bool // a warning says that there is no guard

	unrelated memory // of the stop
}

// supervise is the event loop of a command that runs normally.
func (r *run) supervise(ctx context.Context) error {
	// The command may have ended, or stopped, before its first SIGCHLD was ours to see.
	for {
		if r.look(ctx); r.leader.ended {
			return r.ended(ctx)
		}
		r.reap()
		select {
		case <-ctx.Done():
			next, err := r.pause(ctx)
			if err != nil {
				return r.lost(err)
			}
			ctx = next
		case <-r.children:
		case <-r.guardDue:
			r.startGuard()
		case <-r.c.Changed:
			r.hangUp()
		case s := <-r.signals:
			if r.forward(ctx, s) {
				r.logf("second SIGTERM: killing the command")
				r.stopTree(0)
				return nil
			}
		case err := <-r.verified:
			if err = r.answered(ctx, err); err != nil && ctx.Err() == nil {
				return r.lost(err) // else the end of ctx comes next
			}
		}
	}
}

// guardAfter is when the guard is started. A shorter command does not pay for its start,
// a fifth of the time that amqprun takes.
const guardAfter = 50 * time.Millisecond

// guardAgain is how long after a failure the guard is started again.
const guardAgain = time.Second

// startGuard starts the guard if there is none.
func (r *run) startGuard() {
	r.guardDue = nil
	err := r.c.Guard.start(orders{
		Amqprun:   int32(os.Getpid()),
		Group:     int32(r.leader.pid),
		Born:      r.born(),
		Signal:    int32(r.c.stopSignal()),
		KillAfter: r.c.KillAfter,
		Pauses:    r.c.Pause != nil,
	}, r.c.ID)
	if err != nil {
		r.guardFailed(err)
	}
}

// guardEnded replaces a guard that has ended. One that ends at once would do so again.
func (r *run) guardEnded(lived time.Duration) {
	if lived > guardAgain {
		r.startGuard()
	} else {
		r.guardFailed(fmt.Errorf("it died after %v", lived.Round(time.Millisecond)))
	}
}

func (r *run) guardFailed(err error) {
	if !r.unarmed {
		r.warnf("there is no guard process (%v); "+
			"until there is, kill -9 of amqprun frees the lock at once", err)
	}
	r.unarmed = true
	r.guardDue = time.After(guardAgain)
}

// lost stops the tree because of err. A command that was stopped by Ctrl-Z, or paused,
// must not run again, not even for its grace.
func (r *run) lost(err error) error {
	r.status.Stopped = true
	grace := r.c.KillAfter
	if r.verified != nil || r.frozen != nil {
		grace = 0
	}
	r.stopTree(grace)
	return err
}

// ended settles what the end of the command leaves open.
func (r *run) ended(ctx context.Context) error {
	if r.verified != nil {
		// The command was stopped and has died before it was allowed to go on. The guard
		// kills a command that was stopped for longer than the lease.
		select {
		case err := <-r.verified:
			if err = r.answered(ctx, err); err != nil && ctx.Err() == nil {
				return r.lost(err)
			}
		case <-ctx.Done():
		}
	}
	if r.leaseIsOver() || r.c.Guard.mayHaveStopped() {
		r.awaitLoss(ctx)
	}
	if ctx.Err() != nil && (r.c.Orphans != Wait || r.gone()) { // else a pause may save the rest
		return r.lost(context.Cause(ctx))
	}
	switch r.c.Orphans {
	case Kill:
		r.stopTree(r.c.KillAfter)
	case Wait:
		if err := r.waitForOrphans(ctx); err != nil {
			return r.lost(err)
		}
	case Leave:
		if r.c.Logf != nil { // the look through /proc is for the message alone
			if n := len(r.tree().members()); n > 0 {
				r.logf("the command has ended and left %d processes behind", n)
			}
		}
	}
	r.collect()
	return nil
}

// leaseIsOver reports whether we, or the machine, have slept until the lease was over.
func (r *run) leaseIsOver() bool {
	until := r.until()
	return until != 0 && sys.Boottime() >= until
}

// awaitLoss waits for the end of ctx when the lock must be lost. What ends it has only
// just woken up too.
func (r *run) awaitLoss(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(unfinishedAfter):
	}
}

// waitForOrphans returns nil when the command's tree has ended, and the cause of ctx when
// that ends first.
func (r *run) waitForOrphans(ctx context.Context) error {
	r.terminal.takeBack(r.leader.pid) // no SIGCHLD announces that Ctrl-Z has stopped these
	r.suspendLate(ctx)
	tick := time.NewTicker(lookEvery * 10)
	defer tick.Stop()
	for !r.gone() {
		select {
		case <-ctx.Done():
			next, err := r.pause(ctx)
			if err != nil {
				return err
			}
			ctx = next
		case <-r.children:
		case <-tick.C:
		case <-r.guardDue:
			r.startGuard()
		case s := <-r.signals:
			if r.forward(ctx, s) {
				r.stopTree(0)
				return nil
			}
		case err := <-r.verified:
			if err = r.answered(ctx, err); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
	return nil
}

// dismiss lets the guard go, unless something has survived the loss of the lock: then the
// guard goes on killing.
func (r *run) dismiss() {
	if r.status.Unfinished && (r.status.Stopped || !r.leader.ended) {
		r.c.Guard.abandon()
		return
	}
	r.c.Guard.dismiss()
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
