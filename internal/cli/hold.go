package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
	background "github.com/amqprun/amqprun/internal/hold"
	"github.com/amqprun/amqprun/internal/job"
)

func holdOptions(o *options) []*option {
	return append(takeOptions(o),
		value("for", &o.holdFor, process),
		value("max", &o.holdMax, atLeast),
		value("log", &o.holdLog, nonEmpty),
	)
}

// process reads the number of a process, or 0.
func process(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, errors.New("not the number of a process")
	}
	return n, nil
}

// hold takes a lock and returns when a process in the background holds it. That process
// is this program again, with the same command line.
func hold(o *options, c *console.Console) (exit.Outcome, error) {
	control, err := background.Background()
	switch {
	case err != nil:
		return exit.Outcome{}, err
	case control != nil:
		return exit.Outcome{}, keep(o, c, control)
	}
	process, err := processOf(o)
	if err != nil {
		return exit.Outcome{}, err
	}
	starter, err := background.Start(process)
	if err != nil {
		return exit.Outcome{}, err
	}
	text, ended := starter.Await()
	if text == "" {
		return outcomeOf(ended), nil // it has said why
	}
	if _, err := os.Stdout.WriteString(text); err != nil {
		starter.Drop()
		return exit.Outcome{}, err
	}
	return exit.Outcome{}, nil
}

// processOf is the process to hold for; nil means nobody.
func processOf(o *options) (*background.Process, error) {
	pid := o.holdFor
	switch {
	case !o.given["for"]:
		if pid = background.Caller(); pid == 0 {
			return nil, &exit.UsageError{
				Text: "amqprun cannot find out which process has called it", Hint: "name it with --for PID",
			}
		}
	case pid == 0 && o.holdMax == 0:
		return nil, exit.Usagef("--for 0 holds the lock for no process: it needs --max TIME")
	case pid == 0:
		return nil, nil
	}
	process, err := background.Find(pid, 0)
	if err != nil {
		return nil, exit.Usagef("--for %d: %v", pid, err)
	}
	if err := process.Signal(0); errors.Is(err, syscall.EPERM) {
		return nil, exit.Usagef("--for %d: a loss of the lock could not stop it: %v", pid, err)
	}
	return process, nil
}

// keep is what the process in the background does.
func keep(o *options, c *console.Console, control *background.Control) error {
	o.Broker.Log = c.Logger()
	spec, err := holdSpecOf(o, control.Process)
	background.CloseInherited() // not before the files of options are read
	if err != nil {
		return err
	}
	return job.Hold(spec, c, control)
}

func holdSpecOf(o *options, process *background.Process) (job.HoldSpec, error) {
	if err := noArguments(o); err != nil {
		return job.HoldSpec{}, err
	}
	if o.Conflict == exit.OK {
		return job.HoldSpec{}, exit.Usagef(
			"--conflict-exit-code 0: a script would take it for a lock that is held")
	}
	o.args = []string{"nobody"} // status shows the process in the place of a command
	if process != nil {
		if o.args = background.Args(process.PID); len(o.args) == 0 || o.args[0] == "" {
			o.args = []string{fmt.Sprint("process ", process.PID)}
		}
		o.args[0] = filepath.Base(o.args[0])
	}
	if !o.given["kill-after"] { // with a short heartbeat the default would not fit
		room := cmp.Or(o.Broker.Heartbeat, amqplock.DefaultHeartbeat)*14/10 -
			cmp.Or(o.CheckInterval, amqplock.DefaultCheckInterval)
		o.StopTime = max(min(o.StopTime, room), 0)
	}
	spec, err := specOf(o)
	if err != nil {
		return job.HoldSpec{}, err
	}
	spec.Shown = "hold for " + spec.Shown
	s := job.HoldSpec{Spec: spec, Max: o.holdMax, Kill: o.given["kill-after"]}
	if o.holdLog != "" { // a FIFO blocks here until somebody reads it, before the lock is held
		s.Log, err = os.OpenFile(o.holdLog, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return job.HoldSpec{}, exit.Usagef("--log: %v", err)
		}
	}
	return s, nil
}

// outcomeOf is never a success: the lock is not held.
func outcomeOf(ended *os.ProcessState) exit.Outcome {
	if ended == nil || ended.Success() {
		return exit.Outcome{Code: exit.Failure}
	}
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exit.KilledBy(status.Signal())
	}
	return exit.Outcome{Code: ended.ExitCode()}
}
