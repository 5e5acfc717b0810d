// Command amqprun runs a command under a lock, a mutex or a slot of a semaphore, that is held in RabbitMQ.
package main

import (
	"context"
	"os"
	"runtime"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/held"
	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
)

// releaseTimeout bounds the farewell to the broker. A broker that does not answer frees the lock when the socket is closed.
const releaseTimeout = 5 * time.Second

func main() {
	if runner.IsGuard() {
		os.Exit(runner.RunGuard())
	}
	hidePasswords()
	runtime.GOMAXPROCS(1) // nothing here computes: more would only wake one another, on processors that the broker and the command want
	result := run(os.Args)
	if result.signal != 0 {
		signals.DieOf(result.signal) // comes back where the kernel spares us: as PID 1
	}
	os.Exit(result.code)
}

// underLock is the job: acquire, run, release.
func underLock(o *options) (result outcome) {
	sigs, caught := signals.Notify()
	report := report{begun: messages.since}
	defer func() { report.write(o, result) }()
	guard := runner.StartGuard() // ready by the time that the broker has answered
	defer func() { _ = guard.Done() }()
	file, err := newSlotsFile(o)
	if err != nil {
		report.failed(err)
		return o.failed(err)
	}
	defer file.close()
	o.lock.OnChange = file.change
	lock, err := acquire(o, sigs, guard)
	<-caught // long since
	if err != nil {
		report.failed(err)
		return o.failed(err)
	}
	report.acquired(lock)
	lease := held.Of(lock.Context())
	lease.OnRenew(guard.Renew)
	guard.KeepSocket(lease.Socket())
	command := runner.Command{
		Args:      o.command,
		Env:       append(o.environment(lock), file.variables(lock.Slots)...),
		ID:        o.id,
		Signals:   file.signals(sigs),
		Stop:      o.stopSignal,
		KillAfter: o.lock.StopTime,
		Orphans:   o.orphans,
		Until:     lease.Until,
		Verify:    lock.Verify,
		Guard:     guard,
		Warnf:     o.warnf,
	}
	if o.verbose { // what the command leaves behind is looked for only to be told
		command.Logf = o.logf
	}
	begun := time.Now()
	status, err := command.Run(lock.Context())
	if status.Started {
		o.logf("the command %s after %s", ending(status), time.Since(begun).Round(time.Millisecond))
	}
	if lost := release(lock); lost != nil {
		err = lost
	}
	report.ended(status, err)
	return o.finished(status, err)
}

func release(lock *amqplock.Lock) error {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	return lock.Release(ctx)
}

// acquire waits for the lock as long as the options and the signals allow. Ctrl-Z gives up the place in the line, because a waiter that is
// stopped would block those behind it, and takes a new one when amqprun is resumed.
func acquire(o *options, sigs <-chan os.Signal, guard *runner.Guard) (*amqplock.Lock, error) {
	var deadline time.Time
	if o.wait > 0 {
		deadline = time.Now().Add(o.wait)
	}
	client, err := o.lock.client()
	if err != nil {
		return nil, err
	}
	take := client.Acquire
	if o.noWait {
		take = client.TryAcquire
	}
	wait := progress{o: o}
	o.lock.OnWaiting = wait.waiting
	defer guard.ReapOthers()()
	for {
		ctx, handBack := untilSignal(sigs, deadline)
		lock, err := take(ctx, o.lock.Ref, o.lock.options()...)
		wait.end()
		got := handBack()
		switch {
		case got == nil:
			return lock, err
		case lock != nil: // granted and told to stop in the same instant: stop
			_ = release(lock)
		}
		if !got.stops() {
			return nil, got
		}
		o.warnf("stopped; out of the line until resumed")
		runner.Suspend(got.signal, false) // the terminal has told the others itself
	}
}
