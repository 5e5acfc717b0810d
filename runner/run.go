package runner

import (
	"context"
	"os"
	"time"
)

// run is a running command. One goroutine owns it. Each part embeds the next, which it
// uses: family, jobControl, guarded, shared. stopper and pauser use the same family.
type run struct {
	*family
	stopper
	pauser
}

func newRun(c *Command, children <-chan os.Signal) *run {
	f := &family{children: children, signals: c.Signals}
	f.c = c
	return &run{f, stopper{sweeper{family: f}}, pauser{f}}
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
			r.leader.hangUp()
		case s := <-r.signals:
			if r.forward(ctx, s) {
				r.logf("second SIGTERM: killing the command")
				r.stopTree(0)
				return nil
			}
		case err := <-r.verified:
			if err = r.answered(ctx, err); err != nil {
				return r.lost(err)
			}
		}
	}
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
			if err = r.answered(ctx, err); err != nil {
				return r.lost(err)
			}
		case <-ctx.Done():
		}
	}
	if r.leaseIsOver() || r.c.Guard.mayHaveStopped() {
		awaitLoss(ctx)
	}
	if ctx.Err() != nil && (r.c.Orphans != Wait || r.gone()) { // else a pause may save the rest
		return r.lost(context.Cause(ctx))
	}
	switch r.c.Orphans {
	case Kill:
		r.takeTerminalBack() // before the grace of the rest, in which Ctrl-C is for the shell
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

// waitForOrphans returns nil when the command's tree has ended, and the cause of ctx when
// that ends first.
func (r *run) waitForOrphans(ctx context.Context) error {
	r.takeTerminalBack() // no SIGCHLD announces that Ctrl-Z has stopped these
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
			if err = r.answered(ctx, err); err != nil {
				return err
			}
		}
	}
	return nil
}
