package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
)

// The exit codes that are amqprun's own, after sysexits.h and timeout(1). README.md has the same table, and 128+n.
const (
	exitOK          = 0
	exitUsage       = 64
	exitUnreachable = 69
	exitNotAcquired = 75 // -E changes it
	exitLost        = 76
	exitAccess      = 77
	exitNoSuchLock  = 78
	exitFailure     = 125
	exitSignal      = 128 // + n
)

// exitCodes gives each kind of failure its code. The first that matches counts.
var exitCodes = []struct {
	kind error
	code int
}{
	{errUsage, exitUsage},
	{amqplock.ErrConfig, exitUsage},
	{amqplock.ErrLost, exitLost},
	{amqplock.ErrNotAcquired, exitNotAcquired},
	{amqplock.ErrAccess, exitAccess},
	{amqplock.ErrNotFound, exitNoSuchLock},
	{amqplock.ErrNotALock, exitNoSuchLock},
	{amqplock.ErrUnreachable, exitUnreachable},
	{amqplock.ErrTiming, exitUnreachable},
}

// outcome is how the process is to end: with code, or by signal.
type outcome struct {
	code   int
	signal syscall.Signal
}

// exitCode is the table for errors.
func exitCode(err error) int {
	var start *runner.StartError
	if errors.As(err, &start) {
		return start.Code
	}
	for _, row := range exitCodes {
		if errors.Is(err, row.kind) {
			return row.code
		}
	}
	return exitFailure
}

// failed reports why the command was never started.
func (o *options) failed(err error) outcome {
	var by *interrupted
	if errors.As(err, &by) {
		return killedBy(by.signal)
	}
	code := exitCode(err)
	if code == exitNotAcquired {
		code = o.conflictCode
		if o.quiet {
			return outcome{code: code}
		}
	}
	sayError(err)
	return outcome{code: code}
}

// finished turns the command's end into ours. A lost lock is never a success, whatever the command made of it.
func (o *options) finished(status runner.Status, err error) outcome {
	switch {
	case errors.Is(err, amqplock.ErrLost):
		sayError(fmt.Errorf("%w; %s", err, whatWasDone(status)))
		return outcome{code: exitLost}
	case err != nil:
		sayError(err)
		return outcome{code: exitCode(err)}
	}
	if s, ok := status.Signal(); ok {
		return killedBy(s)
	}
	return outcome{code: status.ExitCode()}
}

// killedBy ends us as signal s has ended the command. After SIGINT that must be a real death, or the loop of a shell script would go
// on; for other signals an exit status says the same and leaves no second core file.
func killedBy(s syscall.Signal) outcome {
	o := outcome{code: exitSignal + int(s)}
	if s == syscall.SIGINT {
		o.signal = s
	}
	return o
}

func whatWasDone(status runner.Status) string {
	switch {
	case !status.Started:
		return "the command was not started"
	case status.Unfinished:
		return fmt.Sprintf("the command was killed, but a part of it still lives after %s",
			status.StopTook.Round(time.Millisecond))
	case !status.Stopped:
		return "the command had just ended"
	}
	return fmt.Sprintf("the command was stopped in %s and %s", status.StopTook.Round(time.Millisecond), ending(status))
}

// ending says how a command that was started has ended.
func ending(status runner.Status) string {
	if s, ok := status.Signal(); ok {
		return "died of " + signals.Name(s)
	}
	return fmt.Sprintf("exited with %d", status.ExitCode())
}
