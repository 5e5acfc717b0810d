package cli

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"os"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/internal/job"
	"github.com/amqprun/amqprun/internal/report"
	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
)

// takeOptions say which lock to take, how, and what to do about its loss. Options that
// say how to reach the broker, or the manner, are also read from AMQPRUN_<OPTION>. Those
// that say which lock, how many, or whether to wait are not: they would leak into an
// amqprun that the command runs.
func takeOptions(o *options) []*option {
	o.StopSignal, o.StopTime, o.Progress = syscall.SIGTERM, 5*time.Second, reportEvery()
	return append(lockOptions(o),
		conflictOption(o),
		toggle("nonblock n", &o.NoWait),
		value("wait w timeout", &o.Wait, duration),
		value("create slots", &o.Slots, number),
		value("count", &o.Count, numberOrAll),
		toggle("greedy", &o.Greedy),
		value("priority", &o.Priority, priority).orVariable(),
		value("signal s", &o.StopSignal, signals.Parse).orVariable(),
		value("kill-after k", &o.StopTime, duration).orVariable(),
		value("check-interval", &o.CheckInterval, atLeast).orVariable(),
		value("progress", &o.Progress, zeroOr).orVariable(),
		value("metadata", &o.Metadata, metadata()),
		toggle("history", &o.History).orVariable(),
		toggle("fence", &o.Fence).orVariable(),
		toggle("show-command", &o.showCommand).orVariable(),
		toggle("hide-command", &o.hideCommand).orVariable(),
	)
}

func runOptions(o *options) []*option {
	o.Regain = time.Minute
	return append(takeOptions(o),
		toggle("elastic", &o.Elastic),
		value("command c", &o.shellCommand, text),
		value("on-loss", &o.OnLoss, onLoss).orVariable(),
		value("regain", &o.Regain, regain).orVariable(),
		value("orphans", &o.Orphans, orphans),
		value("report", &o.Report, nonEmpty),
		value("once", &o.Once, duration),
		toggle("version", &o.version),
	)
}

// reportEvery is how often a wait is reported unless an option says so.
func reportEvery() time.Duration {
	if os.Getenv("CI") != "" {
		return 30 * time.Second // CI systems end a step that prints nothing for long
	}
	return console.OnTerminal // cron mails what a job prints
}

// run runs a command under a lock.
func run(o *options, c *console.Console) (exit.Outcome, error) {
	o.Broker.Log = c.Logger()
	spec, err := specOf(o)
	if err != nil {
		return exit.Outcome{}, err
	}
	outcome, err := job.Run(spec, c)
	return outcome, explainNumber(o, err)
}

// specOf returns the job that o describes, and refuses what cannot work before anything
// is contacted.
func specOf(o *options) (job.Spec, error) {
	if err := findLock(o); err != nil {
		return job.Spec{}, err
	}
	command, err := commandOf(o)
	if err != nil {
		return job.Spec{}, err
	}
	if err := checkRun(o); err != nil {
		return job.Spec{}, err
	}
	spec := o.Spec
	spec.ID, spec.Command, spec.Verbose = newID(), command, o.messages.Verbose
	spec.Shown = job.Shown(command, o.showCommand && !o.hideCommand)
	spec.Broker.ConnectionName = job.ConnectionName(o.Lock.Name + ": " + spec.Shown)
	spec.NoWait = o.NoWait || o.given["wait"] && o.Wait == 0
	err = job.Check(&spec)
	return spec, err
}

func commandOf(o *options) ([]string, error) {
	command := o.args
	if o.given["command"] {
		if len(command) > 0 {
			return nil, exit.Usagef("both --command and the command %q are given", command[0])
		}
		return []string{cmp.Or(os.Getenv("SHELL"), "/bin/sh"), "-c", o.shellCommand}, nil
	}
	if len(command) == 0 || command[0] == "" {
		return nil, &exit.UsageError{
			Text: "no command to run", Hint: "amqprun --mutex NAME -- COMMAND [ARG...]",
		}
	}
	return command, nil
}

func checkRun(o *options) error {
	switch {
	case o.NoWait && o.Wait > 0:
		return exit.Usagef("--nonblock and --wait exclude each other")
	case o.given["create"] && (o.Slots < 1 || o.Lock.Kind != amqplock.KindSemaphore):
		return exit.Usagef("--create or --slots %d: only a semaphore has slots, and at least one",
			o.Slots)
	case o.given["once"] && (o.Once <= 0 || o.Lock.Kind != amqplock.KindMutex):
		return exit.Usagef("--once %s: only a mutex, and a time of more than 0", o.Once)
	case o.given["regain"] && o.OnLoss != job.Pause:
		return exit.Usagef("--regain needs --on-loss pause")
	case o.Elastic && !o.Greedy:
		return exit.Usagef("--elastic needs --greedy")
	}
	if o.Orphans == runner.Wait && !runner.CanAwaitOrphans() {
		return &exit.UsageError{
			Text: "--orphans wait: /proc does not show the processes of this PID namespace",
			Hint: "mount -t proc proc /proc",
		}
	}
	if text := refused(o); text != "" {
		return &exit.UsageError{Text: text, Hint: takeBack(o)}
	}
	if o.given["report"] {
		return report.Check(o.Report)
	}
	return nil
}

// refused says why --on-loss or --fence does not go with the rest; empty if it does.
func refused(o *options) string {
	switch {
	case o.OnLoss == job.Pause && !runner.CanPause:
		return "--on-loss pause: only Linux lets amqprun find all processes of a command"
	case o.OnLoss == job.Pause && (o.Greedy || o.Count > 1 || o.Count == amqplock.All):
		return "--on-loss pause is for a mutex or one slot, without --count and --greedy"
	case o.OnLoss == job.Keep && o.Elastic:
		return "--on-loss keep and --elastic exclude each other"
	case o.OnLoss == job.Keep && (o.Fence || o.Once > 0):
		return "--on-loss keep excludes --fence and --once: two commands may run at once"
	case o.Elastic && o.Fence:
		return "--elastic and --fence exclude each other"
	}
	return ""
}

// takeBack is a hint for an option that the command line does not have: a variable has
// set it, perhaps far away.
func takeBack(o *options) string {
	switch {
	case o.OnLoss != job.Stop && !o.given["on-loss"]:
		return "AMQPRUN_ON_LOSS is set; --on-loss stop takes it back"
	case o.Fence && !o.given["fence"]:
		return "AMQPRUN_FENCE is set; --fence=false takes it back"
	}
	return ""
}

// newID returns an identifier that no other run has.
func newID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}
