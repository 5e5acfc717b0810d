// Package waitq is the wait queue of a lock: waiters are its consumers, and its
// messages are hints. The queue has a single active consumer. The broker keeps the
// consumers in order, and makes the next one active when the first leaves or dies. A
// message there means "you are first, try now". The queue holds one at most.
//
// All of that is a hint. The truth is the exclusive declare, and slow retries cover
// lost hints.
package waitq

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// maxRemoved bounds how often in a row others may remove an unused queue before we join
// it.
const maxRemoved = 20

// Waiting is what a waiter knows of its wait. amqplock.Waiting documents the fields.
type Waiting struct {
	Why   string
	Ahead int
}

// Waiter waits for a lock. The exported fields are set before Wait.
type Waiter struct {
	Queue
	// Try makes an attempt to get the lock: it returns nil, an error that matches
	// fault.ErrBusy, or one that ends the wait. The first in the queue may keep a part of
	// what it wants.
	Try func(ctx context.Context, first bool) error
	// PutBack gives up what Try has kept, because we are not the first any more.
	PutBack func(context.Context)
	// Joined is called with each place in the queue, and with false for none. It may be nil.
	Joined func(bool)
	// OnWaiting is called with what is known, at each change. It may be nil.
	OnWaiting func(Waiting)
	Retry     time.Duration // before the first try without a hint

	why   error   // of the wait
	known Waiting // what OnWaiting was called with

	warned bool // that an alarm makes us wait

	soon []time.Duration // the pauses that are left after a hint in vain

	leaving sync.WaitGroup
}

// Wait stands in the queue until Try has succeeded, ctx ends, or the lock connection is
// gone. why is the error of the last try.
func (w *Waiter) Wait(ctx context.Context, why error) error {
	w.Report(why)
	slow := wire.Pace(w.Retry, max(LastRetry, w.Retry))
	try := w.try
	for removed := 0; ; removed++ {
		channel := w.open(ctx)
		others := w.ahead
		if others == 0 { // else what came free since the last try is for them
			if err := try(ctx); !errors.Is(err, fault.ErrBusy) {
				return err
			}
		} else { // the try before the wait has closed the channel
			w.reopen(ctx)
		}
		place, err := w.join(ctx, channel)
		w.joined(place != nil && err == nil)
		if wire.Absent(err) && removed < maxRemoved {
			continue // a releaser found the queue unused and removed it: the lock may be free
		}
		if place != nil {
			removed = 0
		}
		w.report(place)
		soon := w.nextRetry(place, slow)
		if others > 0 && w.ahead == 0 { // they have gone, and perhaps nobody got their hint
			soon = 0
		}
		err = w.stand(ctx, place, soon, slow)
		for errors.Is(err, errOutranked) {
			place = w.makeRoom(ctx, place)
			err = w.stand(ctx, place, w.nextRetry(place, slow), slow)
		}
		w.first = false
		if !errors.Is(err, errPlaceLost) {
			return err
		}
		w.PutBack(ctx) // only the first in the queue may keep a part
		try = w.tryCautiously
	}
}

// Report says that we wait, without a place yet, and why.
func (w *Waiter) Report(why error) {
	w.why = why
	w.report(nil)
}

// Left blocks until we have left the queue after a success, and the next in it has its
// hint.
func (w *Waiter) Left(ctx context.Context) {
	_ = wire.Call(ctx, func() error { w.leaving.Wait(); return nil })
}

// errPlaceLost says that the place in the queue is gone, and nothing else.
var errPlaceLost = errors.New("the place in the wait queue is gone")

// stand waits in one place of the queue; without one (nil) it only retries slowly, at
// first after soon.
func (w *Waiter) stand(
	ctx context.Context, place *Place, soon time.Duration, slow backoff.BackOff,
) error {
	s := &stay{Waiter: w, place: place, slow: slow, retry: time.NewTimer(soon)}
	defer s.retry.Stop()
	if place != nil {
		s.hints = place.hints
	}
	w.free = false
	look := time.NewTimer(w.nextLook())
	defer look.Stop()
	for {
		err := fault.ErrBusy
		select {
		case hint, ok := <-s.hints:
			if ok {
				err = s.hinted(ctx, hint)
			} else {
				s.removed(ctx)
			}
		case <-s.retry.C:
			err = s.tryAgain(ctx)
		case <-look.C:
			err = s.look(ctx)
			look.Reset(w.nextLook())
		case <-w.Link.Lock.Ended:
			return wire.Refused(w.Link.Lock.Broker, "wait for "+w.Lock.String(),
				wire.ConnectionLost(w.Link.Lock.Why))
		case <-ctx.Done():
			return w.leave(place, w.lastTry(ctx))
		}
		if !errors.Is(err, fault.ErrBusy) {
			return err
		}
	}
}

// stay is what a Waiter does in one place of the queue. Its methods return an error that
// matches fault.ErrBusy where the wait goes on there.
type stay struct {
	*Waiter
	place *Place               // nil: without one
	hints <-chan amqp.Delivery // nil without a place, or when that is gone
	slow  backoff.BackOff
	retry *time.Timer // when to try without a hint
}

// removed is called when the queue has gone. We are not back at once: whatever has
// removed the queue may do so again.
func (s *stay) removed(ctx context.Context) {
	s.hints, s.first, s.soon = nil, false, nil
	s.drop(s.place) // its channel stands if only the queue was removed
	s.PutBack(ctx)
	s.report(nil)
	s.retry.Reset(s.nextRetry(nil, s.slow)) // from far behind it would be minutes
}

// hinted tries on a hint.
func (s *stay) hinted(ctx context.Context, hint amqp.Delivery) error {
	announced, priority := announcement(hint)
	if announced && priority > s.Priority && !hint.Redelivered {
		return errOutranked
	}
	s.first = true
	s.report(s.place)
	try := s.try
	if announced { // the lock is probably held still
		try = s.tryCautiously
	}
	err := try(ctx)
	switch {
	case err == nil:
		s.pass(s.place, hint)
	case errors.Is(err, fault.ErrTooFew):
		s.drop(s.place) // with the hint, which goes to the next: that may want less
	case errors.Is(err, fault.ErrBusy):
		_ = hint.Ack(false) // only now: a hint that dies with us goes to the next
		s.report(s.place)
		s.slow.Reset() // what it was about may be true a little later
		if s.soon = nil; mayBeEarly(hint) {
			s.soon = afterHint
		}
		s.retry.Reset(s.nextRetry(s.place, s.slow))
	}
	return err
}

// tryAgain tries without a hint, or has the first in the queue try.
func (s *stay) tryAgain(ctx context.Context) error {
	if s.hints == nil || s.first || s.ahead == 0 || !s.nudge(ctx) {
		if err := s.tryCautiously(ctx); !errors.Is(err, fault.ErrBusy) {
			return s.leave(s.place, err)
		}
		if s.hints == nil {
			return errPlaceLost
		}
	}
	s.countAhead(ctx, s.place, rankPatience)
	s.report(s.place)
	s.retry.Reset(s.nextRetry(s.place, s.slow))
	return fault.ErrBusy
}

// look tries if the first in the queue leaves a free lock alone.
func (s *stay) look(ctx context.Context) error {
	if s.hints == nil {
		return fault.ErrBusy
	}
	neglected := s.neglected(ctx, s.place)
	s.report(s.place)
	if !neglected {
		return fault.ErrBusy
	}
	err := s.try(ctx)
	if !errors.Is(err, fault.ErrBusy) {
		return s.leave(s.place, err)
	}
	s.free = false
	return err
}

// nextRetry is when to try without a hint.
func (w *Waiter) nextRetry(place *Place, slow backoff.BackOff) time.Duration {
	if len(w.soon) > 0 {
		d := w.soon[0]
		w.soon = w.soon[1:]
		return d
	}
	d := slow.NextBackOff()
	if place != nil && !w.first && w.ahead > 0 {
		d = max(d, min(max(d, retryGrowth*w.Retry)*time.Duration(w.ahead+1), rareRetry))
	}
	return d
}

// makeRoom steps back for waiters of a higher priority. It returns nil without a place.
func (w *Waiter) makeRoom(ctx context.Context, place *Place) *Place {
	next, err := w.stepBack(ctx, place)
	w.soon = nil
	w.PutBack(ctx) // only the first in the queue may keep a part
	if err != nil {
		w.Link.AbortPublish() // with both places
		w.Link.Broker.Debugf("no place in the wait queue: %v", err)
		next = nil
	}
	w.report(next)
	return next
}

// tryCautiously is try for a lock that is probably held still. RabbitMQ logs a claim that
// it refuses as an error, and a waiter may wait for days. So it asks first whether a
// mutex is free, if it can. The search for slots always asks.
func (w *Waiter) tryCautiously(ctx context.Context) error {
	if w.Lock.Kind == wire.Mutex {
		if free, sure := w.Link.MissingNow(ctx, w.Lock.Name); sure && !free {
			return fault.ErrBusy
		}
	}
	return w.try(ctx)
}

// try makes one attempt. A broker that does not answer well now is no reason to give up.
func (w *Waiter) try(ctx context.Context) error {
	err := w.Try(ctx, w.first)
	if err != nil {
		w.why = err
	}
	if alarm := (*wire.AlarmError)(nil); errors.As(err, &alarm) && !w.warned {
		w.warned = true
		w.Link.Broker.Warnf("waiting for %s until %s can report whether it is free: %v",
			w.Lock, w.Link.Lock.Broker, alarm)
	}
	if errors.Is(err, fault.ErrUnreachable) && ctx.Err() == nil && !w.Link.Lock.IsClosed() {
		w.Link.Broker.Debugf("%v; the wait goes on", err)
		return fault.ErrBusy
	}
	if errors.Is(err, fault.ErrBusy) {
		w.reopen(ctx)
	}
	return err
}

// reopen opens the channel that a refusal has closed, so that the next try does not wait
// for that.
func (w *Waiter) reopen(ctx context.Context) {
	_ = w.Link.Timed(ctx, "open a channel", w.Link.Requests.Open)
}

// lastTry is for a lock that came free without a hint just before the time was over.
func (w *Waiter) lastTry(ctx context.Context) error {
	if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return w.Try(ctx, w.first)
}

// pass leaves the queue after a success with a hint in hand. A semaphore may have more
// free slots, so the hint goes on to the next waiter; a mutex has not. The answers are
// not waited for: they concern those who still stand in the queue.
func (w *Waiter) pass(place *Place, hint amqp.Delivery) {
	w.leaving.Go(func() { // ends with the publish connection at the latest
		if w.Lock.Kind == wire.Mutex {
			_ = hint.Ack(false)
		}
		_ = place.leave()
	})
}

// drop leaves the queue. The answer is not waited for.
func (w *Waiter) drop(place *Place) {
	w.leaving.Go(func() { _ = place.leave() }) // ends with the publish connection at the latest
}

// leave leaves the queue after a try without a hint in hand that has succeeded. It
// sends a hint to the next waiter: more may have come free than this. A holder that
// stayed in the queue would take the hints that are for others. It returns err, the
// try's error.
func (w *Waiter) leave(place *Place, err error) error {
	if place == nil || err != nil {
		return err
	}
	messages := w.Link.Messages()
	w.leaving.Go(func() { // ends with the publish connection at the latest
		if place.leave() == nil {
			_ = messages.Do(func(ch *amqp.Channel) error { return wake(ch, w.Lock.Name) })
		}
	})
	return nil
}

func (w *Waiter) joined(inQueue bool) {
	if w.Joined != nil {
		w.Joined(inQueue)
	}
}

// report calls OnWaiting if something has changed since it was called before. Without a
// place in the queue that is nil.
func (w *Waiter) report(place *Place) {
	now := Waiting{Ahead: -1}
	if w.why != fault.ErrBusy { //nolint:errorlint // an error that wraps it says more
		now.Why = w.why.Error()
	}
	switch {
	case place == nil:
		w.joined(false)
	case w.first:
		now.Ahead = 0
	default:
		now.Ahead = w.ahead
	}
	if now == w.known {
		return
	}
	switch {
	case now.Ahead == w.known.Ahead:
	case now.Ahead == 0:
		w.Link.Broker.Debugf("first in the wait queue")
	case now.Ahead > 0:
		w.Link.Broker.Debugf("in the wait queue, %d ahead", now.Ahead)
	}
	w.known = now
	if w.OnWaiting != nil {
		w.OnWaiting(now)
	}
}
