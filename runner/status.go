package runner

import (
	"fmt"
	"syscall"
	"time"
)

// The exit codes of shells for a command that could not be started, and of timeout(1)
// for its own failures.
const (
	exitOwnFailure    = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// Status says how a command ended. It is valid when Started is true.
type Status struct {
	// Started: the program was executed.
	Started bool
	// Stopped: Run stopped the command, at the end of the context or because of Verify.
	Stopped bool
	// StopTook is the time from the first signal to the proof that nothing is left; 0 if
	// nothing had to be stopped.
	StopTook time.Duration
	// Paused is for how long the command was paused, all pauses together.
	Paused time.Duration
	// Unfinished: something survived SIGKILL beyond the bound. It hangs in the kernel, or is
	// not ours to kill.
	Unfinished bool

	wait syscall.WaitStatus
}

// ExitCode returns what a shell would report: the exit status, or 128+n after a death by
// signal n.
func (s Status) ExitCode() int {
	if n, ok := s.Signal(); ok {
		return 128 + int(n)
	}
	return s.wait.ExitStatus()
}

// Signal returns the signal that killed the command, if one did.
func (s Status) Signal() (syscall.Signal, bool) {
	if !s.Started || !s.wait.Signaled() {
		return 0, false
	}
	return s.wait.Signal(), true
}

// StartError says why a command could not be started.
type StartError struct {
	Path string // what Run has looked for, or found
	Err  error
	Code int // 127 not found, 126 not executable, 125 not the command's fault (no memory)
}

func (e *StartError) Error() string { return fmt.Sprintf("cannot run %s: %v", e.Path, e.Err) }

func (e *StartError) Unwrap() error { return e.Err }
