// Package job is the plot of amqprun: take a lock, run a command under it, give it back.
package job

import (
	"context"
	"strings"
	"time"

	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/internal/report"
	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
)

// Run does the job. The error is nil if the command ran to its own end, whatever its
// status.
func Run(s Spec, c *console.Console) (exit.Outcome, error) {
	r := &report.Report{
		Kind: s.Lock.Kind, Name: s.Lock.Name, ID: s.ID, Started: s.Began,
		Broker: strings.Join(s.Broker.Names(), " "),
	}
	status, err := run(s, c, r)
	outcome := exit.Of(err, s.Conflict)
	if err == nil {
		outcome = ofCommand(status)
	}
	if s.Report != "" {
		if err := r.Write(s.Report, err, outcome.Code); err != nil {
			c.Warnf("the report cannot be written: %v", err)
		}
	}
	return outcome, err
}

func run(s Spec, c *console.Console, r *report.Report) (runner.Status, error) {
	sigs, caught := signals.Notify()
	time.AfterFunc(reserveAfter, func() {
		<-caught
		runner.ReserveThreads()
	})
	// A waiter does not learn after an hour that its command does not exist.
	if _, err := runner.Lookup(s.Command[0]); err != nil {
		return runner.Status{}, err
	}
	guard := runner.NewGuard()
	defer func() { _ = guard.Done() }()
	file, err := newSlotsFile(s.Elastic, c.Warnf)
	if err != nil {
		return runner.Status{}, err
	}
	defer file.close()
	lock, err := acquire(s, c, sigs, file.change)
	<-caught // long since
	if err != nil {
		return runner.Status{}, err
	}
	slots := numbered(lock.Slots()) // once: an elastic set may change at any time
	h := &holding{spec: s, c: c, slots: slots, lock: lock}
	r.Granted(lock.Node(), slots, lock.Token())
	status, err := under(lock.Context(), slots, func() (runner.Status, error) {
		defer time.AfterFunc(realTimeAfter, func() { signals.NotifyRealTime(sigs) }).Stop()
		return h.run(&runner.Command{
			Args:      s.Command,
			Env:       append(environment(s, slots, lock.Token()), file.variables(slots)...),
			ID:        s.ID,
			Signals:   sigs,
			Changed:   file.changes(),
			Stop:      s.StopSignal,
			KillAfter: s.StopTime,
			Orphans:   s.Orphans,
			Guard:     guard,
			Warnf:     c.Warnf,
		})
	})
	err = h.ended(status, err)
	r.Released(status)
	r.Without(status.Paused, h.unheld)
	return status, err
}

// under runs the command, unless there is nothing to run it under: an elastic set may
// have lost all its slots already. Then the lock is about to be lost.
func under(lock context.Context, slots []int, run func() (runner.Status, error)) (
	runner.Status, error,
) {
	if len(slots) == 0 {
		<-lock.Done()
		return runner.Status{}, context.Cause(lock)
	}
	return run()
}

// reserveAfter is by when the process waits for the broker, for some milliseconds. Spare
// threads that are made at once hold up the connecting, by a twentieth of a short run.
const reserveAfter = time.Millisecond

// realTimeAfter spares a short command the thirty real-time signals, a tenth of its time
// under a free lock.
const realTimeAfter = 50 * time.Millisecond
