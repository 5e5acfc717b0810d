// Package runner runs a command under a lock. It starts the command, passes signals on,
// and shares the terminal with it. When the lock is lost it stops everything that the
// command has started. It knows nothing of locks: the loss is the end of a context.
//
// docs/internals/wrapper.md lists what it guarantees and what it does not.
package runner

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Run starts the command and returns when it has ended or, when ctx ends first, when it
// has stopped the whole tree. It blocks without a limit of its own in the former case.
//
// On Linux it makes this process adopt orphans, for good, and collects every child that
// has ended. So nothing else may start or await children meanwhile, and there is one Run
// at a time.
//
// The error is nil when the command ran to its own end, whatever its exit status. It is
// a *StartError when the command was never started. It is context.Cause(ctx) when ctx
// ended, or what Verify or Pause.Regain returned, or an *Interrupted. The command was
// then stopped, or not even started (see Status).
func (c *Command) Run(ctx context.Context) (Status, error) {
	// Before the start, or Run would miss the death of a very short command.
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)

	if ctx.Err() != nil {
		return Status{}, context.Cause(ctx)
	}
	if err := adoptOrphans(); err != nil {
		return Status{}, &StartError{Path: c.Args[0], Err: err, Code: exitOwnFailure}
	}
	ReserveThreads()
	r := newRun(c, children)
	defer r.terminal.close()
	release, err := r.start()
	if err != nil {
		return Status{}, err
	}
	defer release()
	defer r.dismiss()
	if c.Guard != nil {
		r.guardDue = time.After(guardAfter)
	}
	r.logf("started %s as process %d", c.Args[0], r.leader.pid)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err = r.supervise(ctx)
	r.takeTerminalBack()
	return r.status, err
}
