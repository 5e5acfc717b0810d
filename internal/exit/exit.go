// Package exit knows how amqprun can end: the statuses, which error leads to which of
// them, and what hint goes with an error.
package exit

import (
	"errors"
	"syscall"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/runner"
)

// The statuses that are amqprun's own, after sysexits.h and timeout(1).
// docs/reference/exit-status.md has the same. A command that cannot be executed gives 126
// or 127 (package runner).
const (
	OK          = 0
	Usage       = 64
	Unreachable = 69
	NotAcquired = 75 // --conflict-exit-code changes it
	Lost        = 76
	Access      = 77
	NoSuchLock  = 78
	Failure     = 125
)

// bySignal plus n is the status after a death by signal n.
const bySignal = 128

// statuses gives each kind of failure its status. The first that matches counts.
var statuses = []struct {
	kind   error
	status int
}{
	{amqplock.ErrConfig, Usage},
	{amqplock.ErrLost, Lost},
	{amqplock.ErrNotAcquired, NotAcquired},
	{amqplock.ErrAccess, Access},
	{amqplock.ErrNotFound, NoSuchLock},
	{amqplock.ErrNotALock, NoSuchLock},
	{amqplock.ErrUnreachable, Unreachable},
	{amqplock.ErrTiming, Unreachable},
}

// Status returns the exit status for err; nil is OK.
func Status(err error) int {
	var start *runner.StartError
	var usage *UsageError
	switch {
	case err == nil:
		return OK
	case errors.As(err, &start):
		return start.Code
	case errors.As(err, &usage):
		return Usage
	}
	for _, row := range statuses {
		if errors.Is(err, row.kind) {
			return row.status
		}
	}
	return Failure
}

// Outcome is how the process is to end: with Code, or by Signal if that is not 0.
type Outcome struct {
	Code   int
	Signal syscall.Signal
}

// Of returns the outcome for err. conflict replaces the status NotAcquired.
func Of(err error, conflict int) Outcome {
	var by *Interrupted
	if errors.As(err, &by) {
		return KilledBy(by.Signal)
	}
	status := Status(err)
	if status == NotAcquired {
		status = conflict
	}
	return Outcome{Code: status}
}

// KilledBy ends us as signal s has ended the command. After SIGINT that has to be a real
// death, or the loop of a shell script would go on. For other signals the status says the
// same, and leaves no second core file.
func KilledBy(s syscall.Signal) Outcome {
	o := Outcome{Code: bySignal + int(s)}
	if s == syscall.SIGINT {
		o.Signal = s
	}
	return o
}
