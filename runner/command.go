package runner

import (
	"context"
	"os"
	"syscall"
	"time"
)

// Command is a command to run. Run may be called once.
type Command struct {
	// Args are the program, which is looked up in PATH, and its arguments. No shell is
	// involved. It must not be empty.
	Args []string
	// Env is the complete environment, with ID in AMQPRUN_ID and among AMQPRUN_IDS.
	Env []string
	// ID is a word that names this run. Every process that carries it in AMQPRUN_ID, or as
	// a word of AMQPRUN_IDS, belongs to the tree of the command.
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

// Pause is what Run does at the end of its context instead of a stop. It stops the whole
// tree by SIGSTOP, and continues it when the lock is held again.
type Pause struct {
	// Possible reports whether to pause where the context has ended for this reason. It must
	// not block.
	Possible func(lost error) bool
	// Regain returns the context under which the command goes on, or why it must not. It may
	// block for long, and ends soon after ctx. Before it returns a context it has called
	// KeepSocket and Renew of the Guard for the new lock, and Until knows that lock.
	Regain func(ctx context.Context) (context.Context, error)
}

func (c *Command) stopSignal() syscall.Signal {
	if c.Stop == 0 {
		return syscall.SIGTERM
	}
	return c.Stop
}
