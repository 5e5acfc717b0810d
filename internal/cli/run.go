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
)

// Options that say how to reach the broker, or the manner, are also read from AMQPRUN_<OPTION>. Those
// that say which lock, how many, or whether to wait are not: they would leak into an amqprun that the
// command runs.
func runOptions(o *options) []*option {
	o.stopSignal, o.stopTime = syscall.SIGTERM, 5*time.Second
	o.progress = 30 * time.Second // CI systems end a step that prints nothing for long
	return append(brokerOptions(o), []*option{
		semaphoreOption(o), mutexOption(o), conflictOption(o),
		{names: []string{"nonblock", "n"}, set: boolean(&o.noWait), bool: true},
		{names: []string{"wait", "w", "timeout"}, set: duration(&o.wait)},
		{names: []string{"slots"}, set: number(&o.slots)},
		{names: []string{"count"}, set: number(&o.count)},
		{names: []string{"greedy"}, set: boolean(&o.greedy), bool: true},
		{names: []string{"elastic"}, set: boolean(&o.elastic), bool: true},
		{names: []string{"command", "c"}, set: text(&o.command)},
		{names: []string{"signal", "s"}, set: signal(&o.stopSignal), env: "AMQPRUN_SIGNAL"},
		{names: []string{"kill-after", "k"}, set: duration(&o.stopTime), env: "AMQPRUN_KILL_AFTER"},
		{names: []string{"check-interval"}, set: atLeast(&o.checkInterval), env: "AMQPRUN_CHECK_INTERVAL"},
		{names: []string{"orphans"}, set: orphans(&o.orphans)},
		{names: []string{"progress"}, set: zeroOr(&o.progress), env: "AMQPRUN_PROGRESS"},
		{names: []string{"report"}, set: nonEmpty(&o.report)},
		{names: []string{"metadata"}, set: metadata(&o.metadata)},
		{names: []string{"history"}, set: boolean(&o.history), env: "AMQPRUN_HISTORY", bool: true},
		{names: []string{"fence"}, set: boolean(&o.fence), env: "AMQPRUN_FENCE", bool: true},
		{names: []string{"show-command"}, set: boolean(&o.showCommand), env: "AMQPRUN_SHOW_COMMAND", bool: true},
		{names: []string{"hide-command"}, set: boolean(&o.hideCommand), env: "AMQPRUN_HIDE_COMMAND", bool: true},
		{names: []string{"version"}, set: boolean(&o.version), bool: true},
	}...)
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

// specOf returns the job that o describes, and refuses what cannot work before anything is contacted.
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
		Broker: o.broker, Lock: o.lock, Slots: o.slots, Count: o.count,
		Greedy: o.greedy, Elastic: o.elastic, CheckInterval: o.checkInterval, StopTime: o.stopTime,
		NoWait: o.noWait || o.given["wait"] && o.wait == 0, Wait: o.wait, Conflict: o.conflictCode,
		StopSignal: o.stopSignal, Orphans: o.orphans,
		Progress: o.progress, Report: o.report, Shown: shown, Metadata: o.metadata,
		History: o.history, Fence: o.fence,
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
	case o.given["slots"] && (o.slots < 1 || o.lock.Kind != amqplock.KindSemaphore):
		return exit.Usagef("--slots %d: only a semaphore has slots, and at least one", o.slots)
	case o.given["count"] && o.count < 1:
		return exit.Usagef("--count %d: must be at least 1", o.count)
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

// newID returns what tells this run from every other.
func newID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}
