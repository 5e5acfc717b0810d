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

// Command is a command to run. Run may be called once.
type Command struct {
	// Args are the program, which is looked up in PATH, and its arguments. No shell is
	// involved. It must not be empty.
	Args []string
	// Env is the complete environment, AMQPRUN_ID included.
	Env []string
	// ID is the value of AMQPRUN_ID in Env. Every process that carries it belongs to the
	// tree of the command.
	ID string
	// Signals delivers what to forward (package signals). The caller owns it. Nil
	// forwards nothing.
	Signals <-chan os.Signal
	// Changed delivers a value when something has changed of which the command's own
	// process gets a SIGHUP, if it catches or ignores that. The default action would
	// kill it. Run does not always read, so send without blocking. Nil delivers nothing.
	Changed <-chan struct{}
	// Stop is the signal that stops the command, before SIGKILL; 0 is SIGTERM.
	Stop syscall.Signal
	// KillAfter is the grace between Stop and SIGKILL; 0 is none.
	KillAfter time.Duration
	// Orphans says what becomes of the processes that a command leaves behind when it
	// ends by itself.
	Orphans Orphans
	// Until returns the instant, in sys.Boottime, by which the tree has to be dead. Run
	// asks again and again, because a lease is renewed while the command runs. Nil, or
	// 0: there is no such instant. The grace ends at the earlier of KillAfter and Until.
	Until func() time.Duration
	// Verify is called when amqprun was stopped (Ctrl-Z) and resumed, before the command
	// goes on. An error means that the command must not: Run kills it. The context ends
	// with Run's. Nil verifies nothing.
	Verify func(context.Context) error
	// Pause is for a command that may be paused instead of stopped; nil for others.
	// CanPause says whether this system can.
	Pause *Pause
	// Guard stops the tree when this process is killed; nil for none. The caller calls
	// its Done after Run.
	Guard *Guard
	// Logf receives details, Warnf what everybody should see. Both may be nil. Run's own
	// goroutine calls them, so they have to return soon.
	Logf, Warnf func(format string, args ...any)
}

// Orphans is what to do with processes that the command leaves behind.
type Orphans int

const (
	Leave Orphans = iota // let them live on, without the lock
	Wait                 // keep the lock until they have ended too
	Kill                 // stop them as on a loss: signal, grace, SIGKILL
)

// spareThreads is how many threads Run makes before the command can use up its limit of
// processes. No more block at once. One is in a system call of Run. One writes to a
// terminal or a pipe. One is in the timer of the grace. One goes on beside these.
const spareThreads = 4

// Run starts the command and returns when it has ended or, when ctx ends first, when it
// has stopped the whole tree. It blocks without a limit of its own in the former case.
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
	reserveThreads(spareThreads)
	r := &run{c: c, children: children, signals: c.Signals}
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

func (c *Command) stopSignal() syscall.Signal {
	if c.Stop == 0 {
		return syscall.SIGTERM
	}
	return c.Stop
}
