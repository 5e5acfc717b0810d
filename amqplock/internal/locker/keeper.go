package locker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/lease"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// earlyChecks are the pauses between the first checks after a grant, at 0.02, 0.1, 0.3, 1
// and 2 s. A granted exclusive queue can vanish without notice in the first milliseconds,
// when another's claim has died with its connection
// (https://github.com/rabbitmq/rabbitmq-server/pull/15276). So it can in the first second
// or two after another node of the cluster has died, or with 4.3 is back
// (https://github.com/rabbitmq/rabbitmq-server/issues/9798).
var earlyChecks = []time.Duration{
	20 * time.Millisecond, 80 * time.Millisecond, 200 * time.Millisecond,
	700 * time.Millisecond, time.Second,
}

// afterVain is how long a check that has proven nothing is left before all are asked
// again.
const afterVain = time.Second

// keeper checks a lock that was granted, until it is lost or the checks are stopped.
type keeper struct {
	cfg     Config
	link    *wire.Link
	checker *checker
	held    *collection
	checks  []check
	lease   *lease.Lease
	granted time.Duration
	expiry  lease.Alarm // when the lease ends
	pacer   lease.Alarm // when the next checks are due

	ctx context.Context // ends when the lock is lost, with the *fault.Error as its cause, or released
	end context.CancelCauseFunc

	checking   context.Context // ends all that goes on in the background
	stop       context.CancelFunc
	background sync.WaitGroup // what ends with the connections

	onRenew, onLost, onChange listener
}

// newKeeper starts the checks of what was claimed.
func newKeeper(got *claims) (*keeper, error) {
	expiry, err := got.cfg.clock.NewAlarm()
	if err != nil {
		return nil, err
	}
	pacer, err := got.cfg.clock.NewAlarm()
	if err != nil {
		expiry.Stop()
		return nil, err
	}
	k := &keeper{
		cfg: got.cfg, link: got.link, checker: got.checker, held: got.held,
		checks: got.checks(), granted: got.cfg.clock.Now(), expiry: expiry, pacer: pacer,
	}
	if f := k.cfg.OnChange; f != nil {
		k.onChange.f = func() { f(k.held.list()) }
	}
	names := make([]string, len(k.checks))
	for i, c := range k.checks {
		names[i] = c.name
	}
	k.lease = lease.New(got.link.Lock.Config.Heartbeat, got.cfg.StopTime, names)
	for i := range k.checks {
		k.lease.Prove(i, got.sent)
	}
	got.checker.preCheck.Store(got.checker.newPreCheck(got.link, nil))
	k.ctx, k.end = context.WithCancelCause(context.Background())
	k.checking, k.stop = context.WithCancel(k.ctx)
	k.expiry.Set(k.lease.StopAt())
	k.background.Go(k.keepChecking)
	k.background.Go(k.watch)
	return k, nil
}

// Verify asks all checks now, and again while the answers prove nothing.
// amqplock.Lock.Verify documents it.
func (k *keeper) Verify(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(k.ctx, cancel)() // no answer is waited for beyond the loss
	k.expire()
	pause := earlyChecks[0]
	for i, c := range k.checks {
		for ; ; pause = min(2*pause, afterVain) {
			err := k.check(ctx, i, c)
			if err == nil {
				break
			}
			if k.link.Lock.IsClosed() { // watch will say so too, perhaps later
				k.connectionEnded()
			}
			if k.ctx.Err() != nil {
				return context.Cause(k.ctx)
			}
			select {
			case <-time.After(pause):
			case <-k.ctx.Done():
			case <-ctx.Done():
				return explain(k.link, k.cfg.Ref, c, k.held.list(), err)
			}
		}
	}
	k.expire() // the answers are to questions from before
	return context.Cause(k.ctx)
}

// keepChecking runs all checks again and again, at the same instants: waking up is the
// greater part of their cost. A check that hangs is left out until it is answered, or
// the connection ends. The lease runs meanwhile.
func (k *keeper) keepChecking() {
	defer k.pacer.Stop()
	hangs := make([]atomic.Bool, len(k.checks))
	inVain := make(chan struct{}, 1) // one of them has proven nothing
	for n, due := 0, k.granted; ; n++ {
		pause := k.cfg.CheckInterval
		if n < len(earlyChecks) {
			pause = min(pause, earlyChecks[n])
		}
		if due += pause; k.cfg.clock.Now()-due > pause { // the machine has slept
			due = k.cfg.clock.Now()
		}
		var ok bool
		if due, ok = k.sleep(due, inVain); !ok {
			return
		}
		for i, c := range k.checks {
			if hangs[i].Swap(true) {
				continue
			}
			k.background.Go(func() {
				defer hangs[i].Store(false)
				if !k.checkInTurn(i, c, n == 0) {
					select {
					case inVain <- struct{}{}:
					default:
					}
				}
			})
		}
	}
}

// checkInTurn reports whether check i has proven something, or the checks are over. It
// logs the first success, and each failure.
func (k *keeper) checkInTurn(i int, c check, first bool) bool {
	begun := time.Now()
	err := k.check(k.checking, i, c)
	switch {
	case err == nil && first:
		k.cfg.Debugf("first %s of %s answered in %s", c.name, k, wire.Took(begun))
	case err != nil && k.checking.Err() == nil:
		if !errors.Is(err, errNoPreCheck) {
			k.cfg.Debugf("the %s of %s proved nothing: %v", c.name, k, wire.OneLine(err))
		}
		return false
	}
	return true
}

// sleep returns at the instant due, or afterVain after a check was in vain if that is
// earlier. It returns which instant it was, and false when the checks are stopped.
func (k *keeper) sleep(due time.Duration, inVain <-chan struct{}) (woken time.Duration, ok bool) {
	for k.pacer.Set(due); k.cfg.clock.Now() < due; {
		select {
		case <-k.pacer.C():
		case <-inVain:
			due = min(due, k.cfg.clock.Now()+afterVain)
			k.pacer.Set(due)
		case <-k.checking.Done():
			return 0, false
		}
	}
	return due, k.checking.Err() == nil // however late the checks are
}

// check runs check i once. A slot that is gone ends the lock, unless the set is elastic
// and has others.
func (k *keeper) check(ctx context.Context, i int, c check) error {
	for {
		sent := k.cfg.clock.Now()
		err := c.run(ctx, k.held.list())
		var gone *goneError
		switch {
		case err == nil:
			if k.lease.Prove(i, sent) {
				k.onRenew.call()
			}
			return context.Cause(k.ctx)
		case !errors.As(err, &gone):
			return err
		case !k.survive(ctx, gone):
			return context.Cause(k.ctx)
		}
	}
}

// survive drops a slot that is gone from an elastic set that has others; else it ends the
// lock and returns false.
func (k *keeper) survive(ctx context.Context, gone *goneError) bool {
	if !k.cfg.Elastic {
		k.lose(k.cfg.Describe([]int{gone.slot}), gone)
		return false
	}
	switch left, was := k.held.lose(gone.slot); {
	case !was: // another check was faster to find out
		return true
	case left == 0:
		k.lose(k.cfg.Describe([]int{gone.slot}), gone)
		return false
	}
	if wire.Fragile(k.link.Lock.Config.Vhost, k.cfg.Held(gone.slot)) {
		// A look at a queue that is gone ends the connection, and another check may be about
		// to look. One that is still on its way after a lease has cost the lock anyway.
		k.background.Go(func() {
			if wire.Pause(k.checking, lease.End(0, k.link.Lock.Config.Heartbeat)) == nil {
				k.remove(k.checking, gone.slot)
			}
		})
	} else {
		k.remove(ctx, gone.slot)
	}
	k.changed("lost slot %d: %v", gone.slot, gone)
	return true
}

// remove deletes the queue of a lost slot, which may still block that for others.
func (k *keeper) remove(ctx context.Context, slot int) {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.ConnectTimeout)
	defer cancel()
	_ = wire.Call(ctx, func() error {
		defer k.held.gone(slot)
		return k.link.Requests.Remove(k.cfg.Held(slot))
	})
}

// changed reports a change of an elastic set.
func (k *keeper) changed(format string, args ...any) {
	k.cfg.Debugf(format, args...)
	k.onChange.call()
}

// OnRenew has f called with StopAt and Until, at once and each time that they have grown.
func (k *keeper) OnRenew(f func(stopAt, until time.Duration)) {
	k.onRenew.set(func() { f(k.lease.Ends()) })
}

// watch notices the end of the lease and of the connection.
func (k *keeper) watch() {
	for {
		select {
		case <-k.expiry.C():
			k.expire()
			k.expiry.Set(k.lease.StopAt())
		case <-k.link.Lock.Ended:
			if k.checking.Err() == nil {
				k.connectionEnded()
			}
			return
		case <-k.checking.Done():
			return
		}
	}
}

// connectionEnded ends the lock for an abrupt loss.
func (k *keeper) connectionEnded() {
	<-k.link.Lock.Ended
	k.lose(k.String(), &cutError{wire.ConnectionLost(k.link.Lock.Why)})
}

// expire ends the lock when the time to stop has come.
func (k *keeper) expire() {
	if oldest := k.lease.Oldest(); k.cfg.clock.Now() >= k.lease.StopAt() {
		k.lose(k.String(), &cutError{fmt.Errorf(
			"the %s got no answer, and the lease of 1.9 heartbeats of %s is running out",
			oldest.Check, k.lease.Heartbeat())})
	}
}

// lose ends the lock; the first reason counts.
func (k *keeper) lose(what string, reason error) {
	age := k.cfg.clock.Now() - k.lease.Oldest().Sent
	lost := fault.Lost(what, k.link.Lock.Broker, reason, age)
	if cut := (*cutError)(nil); errors.As(reason, &cut) {
		lost.Err = cut
	}
	k.end(lost)
	k.onLost.call()
}

// OnLost has f called when the lock is lost, at once if it is; perhaps again, with the
// same error.
func (k *keeper) OnLost(f func(error)) {
	k.onLost.set(func() {
		if err := context.Cause(k.ctx); errors.Is(err, fault.ErrLost) {
			f(err)
		}
	})
}

// String names the lock as messages do: `slots 2 and 5 of semaphore "name"`.
func (k *keeper) String() string { return k.cfg.Describe(k.held.list()) }
