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
)

// takeOptions say which lock to take, how, and what to do about its loss. Options that
// say how to reach the broker, or the manner, are also read from AMQPRUN_<OPTION>. Those
// that say which lock, how many, or whether to wait are not: they would leak into an
// amqprun that the command runs.
func takeOptions(o *options) []*option {
	o.stopSignal, o.stopTime, o.progress = syscall.SIGTERM, 5*time.Second, reportEvery()
	return append(brokerOptions(o), []*option{
		semaphoreOption(o), mutexOption(o), conflictOption(o),
		toggle("nonblock n", &o.noWait),
		value("wait w timeout", duration(&o.wait)),
		value("create slots", number(&o.slots)),
		value("count", numberOrAll(&o.count)),
		toggle("greedy", &o.greedy),
		value("priority", priority(&o.priority)).orVariable(),
		value("signal s", signal(&o.stopSignal)).orVariable(),
		value("kill-after k", duration(&o.stopTime)).orVariable(),
		value("check-interval", atLeast(&o.checkInterval)).orVariable(),
		value("progress", zeroOr(&o.progress)).orVariable(),
		value("metadata", metadata(&o.metadata)),
		toggle("history", &o.history).orVariable(),
		toggle("fence", &o.fence).orVariable(),
		toggle("show-command", &o.showCommand).orVariable(),
	}...)
}

func runOptions(o *options) []*option {
	o.regain = time.Minute
	return append(takeOptions(o), []*option{
		toggle("elastic", &o.elastic),
		value("command c", text(&o.command)),
		value("on-loss", onLoss(&o.onLoss)).orVariable(),
		value("regain", atLeast(&o.regain)).orVariable(),
		value("orphans", orphans(&o.orphans)),
		value("report", nonEmpty(&o.report)),
		value("once", duration(&o.once)),
		toggle("hide-command", &o.hideCommand).orVariable(),
		toggle("version", &o.version),
	}...)
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
	spec, err := specOf(o)
	if err != nil {
		return exit.Of(err, o.conflictCode), err
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
	shown := job.Shown(command, o.showCommand && !o.hideCommand)
	o.broker.ConnectionName = job.ConnectionName(o.lock.Name + ": " + shown)
	spec := job.Spec{
		Began: o.began, ID: newID(), Command: command,
		Broker: o.broker, Lock: o.lock, Slots: o.slots, Count: o.count, Priority: o.priority,
		Greedy: o.greedy, Elastic: o.elastic, CheckInterval: o.checkInterval, StopTime: o.stopTime,
		NoWait: o.noWait || o.given["wait"] && o.wait == 0, Wait: o.wait, Conflict: o.conflictCode,
		OnLoss: o.onLoss, Regain: o.regain, StopSignal: o.stopSignal, Orphans: o.orphans,
		Progress: o.progress, Report: o.report, Shown: shown, Metadata: o.metadata,
		History: o.history, Fence: o.fence, Once: o.once,
		Verbose: o.messages.Verbose,
	}
	return spec, job.Check(spec)
}

func commandOf(o *options) ([]string, error) {
	command := o.args
	if o.given["command"] {
		if len(command) > 0 {
			return nil, exit.Usagef("both --command and the command %q are given", command[0])
		}
		return []string{cmp.Or(os.Getenv("SHELL"), "/bin/sh"), "-c", o.command}, nil
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
	case o.noWait && o.wait > 0:
		return exit.Usagef("--nonblock and --wait exclude each other")
	case o.given["create"] && (o.slots < 1 || o.lock.Kind != amqplock.KindSemaphore):
		return exit.Usagef("--create or --slots %d: only a semaphore has slots, and at least one",
			o.slots)
	case o.given["once"] && (o.once <= 0 || o.lock.Kind != amqplock.KindMutex):
		return exit.Usagef("--once %s: only a mutex, and a time of more than 0", o.once)
	case o.onLoss == job.Pause && !runner.CanPause:
		return exit.Usagef("--on-loss pause: only Linux lets amqprun find all processes of a command")
	case o.onLoss == job.Pause && (o.greedy || o.count > 1 || o.count == amqplock.All):
		return exit.Usagef("--on-loss pause is for a mutex or one slot, without --count and --greedy")
	case o.onLoss == job.Keep && o.elastic:
		return exit.Usagef("--on-loss keep and --elastic exclude each other")
	case o.onLoss == job.Keep && (o.fence || o.once > 0):
		return exit.Usagef("--on-loss keep excludes --fence and --once: two commands may run at once")
	case o.given["regain"] && o.onLoss != job.Pause:
		return exit.Usagef("--regain needs --on-loss pause")
	case o.elastic && o.fence:
		return exit.Usagef("--elastic and --fence exclude each other")
	case o.elastic && !o.greedy:
		return exit.Usagef("--elastic needs --greedy")
	}
	if o.given["report"] {
		return report.Check(o.report)
	}
	return nil
}

// newID returns an identifier that no other run has.
func newID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}
