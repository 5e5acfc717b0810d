// Package runner runs a command under a lock: it starts it, passes signals on, shares the terminal with it, and, when the
// lock is lost, stops everything the command has started. It knows nothing of locks: the loss is the end of a context.
//
// docs/WRAPPER.md lists what is guaranteed and what is not.
package runner

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// Command is a command to run. Run may be called once.
type Command struct {
	// Args are the program, which is looked up in PATH, and its arguments. No shell is involved. It must not be empty.
	Args []string
	// Env is the complete environment, AMQPRUN_ID included.
	Env []string
	// ID is the value of AMQPRUN_ID in Env. Every process that carries it belongs to the tree of the command.
	ID string
	// Signals delivers what is to be forwarded; the caller owns it (package signals). Nil forwards nothing.
	Signals <-chan os.Signal
	// Stop is sent first when the command has to be stopped; 0 is SIGTERM.
	Stop syscall.Signal
	// KillAfter is the grace between Stop and SIGKILL; 0 is none.
	KillAfter time.Duration
	// Orphans says what becomes of the processes that a command leaves behind when it ends by itself.
	Orphans Orphans
	// Until returns the instant, in Boottime, by which the tree has to be dead; it is asked again and again, as a lease is
	// renewed while the command runs. Nil, or 0: no such instant. The grace ends at the earlier of KillAfter and Until.
	Until func() time.Duration
	// Verify is called after amqprun was stopped (Ctrl-Z) and resumed, before the command goes on. An error means that the command
	// must not: it is killed. The context ends with Run's. Nil verifies nothing.
	Verify func(context.Context) error
	// Guard stops the tree when this process is killed; nil for none. Run dismisses it when nothing is left to be guarded,
	// also when the command could not be started.
	Guard *Guard
	// Logf receives what is of interest to who asked for it, Warnf what everyone should see. Both may be nil. They are called
	// from Run's own goroutine, and return soon.
	Logf, Warnf func(format string, args ...any)
}

// Orphans is what to do with processes that the command leaves behind.
type Orphans int

const (
	Leave Orphans = iota // let them live on, without the lock
	Wait                 // keep the lock until they have ended too
	Kill                 // stop them as on a loss: signal, grace, SIGKILL
)

// unfinishedAfter is how long the dying tree is waited for after SIGKILL, or after Until if that is later. SIGKILL takes a
// millisecond; what lives on for a second hangs in the kernel (a dead network file system), or is not ours to kill (sudo).
const unfinishedAfter = time.Second

// Run starts the command and returns when it has ended or, when ctx ends first, when its whole tree has been stopped.
//
// The error is nil when the command ran to its own end, whatever its exit status; a *StartError when it was never started;
// context.Cause(ctx) when ctx ended, or what Verify returned: the command was then stopped, or not even started. The Status tells which.
func (c *Command) Run(ctx context.Context) (Status, error) {
	// Before the start, or the death of a very short command would be missed.
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)

	r := &run{c: c, children: children, signals: c.Signals}
	defer r.dismiss()
	if ctx.Err() != nil {
		return Status{}, context.Cause(ctx)
	}
	if err := adoptOrphans(); err != nil {
		return Status{}, &StartError{Path: c.Args[0], Err: err, Code: exitOwnFailure}
	}
	var noGuard *StartError
	if err := c.Guard.prepare(c); errors.As(err, &noGuard) {
		return Status{}, err
	} else if err != nil {
		r.warnf("the guard cannot keep the lock if amqprun is killed: %v", err)
	}
	leader, release, err := c.start()
	if err != nil {
		return Status{}, err
	}
	defer release()
	c.Guard.group(leader)
	r.logf("started %s as process %d", c.Args[0], leader)
	r.leader.pid, r.status.Started = leader, true
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err = r.supervise(ctx)
	r.terminal.takeBack(leader, r.status)
	return r.status, err
}

// run is the state of a running command. One goroutine owns it.
type run struct {
	c        *Command
	leader   leader
	children <-chan os.Signal // SIGCHLD
	signals  <-chan os.Signal
	verified chan error // receives Verify's answer; nil when it is not being asked
	ends     ends
	terminal terminal
	stopping bool          // the tree is being stopped: no more job control
	paused   time.Duration // Boottime at which SIGTSTP was passed on: the stop of the command that follows is its echo. 0: none
	wants    bool          // the command is to have the terminal when it goes on
	resumed  bool          // by a SIGCONT that is still to be read: it was for us, not for the command
	hangs    bool          // the command does not die of SIGKILL
	status   Status

	strangers strangers // of the stop
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
			return r.lost(context.Cause(ctx))
		case <-r.children:
		case s := <-r.signals:
			if r.forward(ctx, s) {
				r.logf("second SIGTERM: killing the command")
				r.stopTree(0)
				return nil
			}
		case err := <-r.verified:
			if err == nil {
				err = context.Cause(ctx) // both may have come at once, and a lost lock must not resume anything
			}
			if err != nil {
				return r.lost(err)
			}
			r.verified = nil
			r.resume()
		}
	}
}

// lost stops the tree because of err. A command that was stopped by Ctrl-Z must not run again, not even for its grace.
func (r *run) lost(err error) error {
	r.status.Stopped = true
	grace := r.c.KillAfter
	if r.verified != nil {
		grace = 0
	}
	r.stopTree(grace)
	return err
}

// ended settles what the end of the command leaves open.
func (r *run) ended(ctx context.Context) error {
	if r.verified != nil {
		// It was stopped and has died before it was allowed to go on; the guard does that to those who slept too long.
		select {
		case err := <-r.verified:
			if err != nil {
				return r.lost(err)
			}
		case <-ctx.Done():
		}
		r.verified = nil
	}
	if until := r.until(); until != 0 && sys.Boottime() >= until {
		// We, or the machine, slept until the lease was over, and the guard has killed the command. The timer that tells of the loss
		// has only just woken up too.
		select {
		case <-ctx.Done():
		case <-time.After(unfinishedAfter):
		}
	}
	if ctx.Err() != nil {
		return r.lost(context.Cause(ctx))
	}
	switch r.c.Orphans {
	case Kill:
		r.stopTree(r.c.KillAfter)
	case Wait:
		if err := r.waitForOrphans(ctx); err != nil {
			return r.lost(err)
		}
	default:
		if r.c.Logf != nil {
			if n := len(r.tree().members()); n > 0 {
				r.logf("the command has ended and left %d processes behind", n)
			}
		}
	}
	r.collect()
	return nil
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
