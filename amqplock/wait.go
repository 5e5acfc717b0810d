package amqplock

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A waiter also tries without a hint, now and then: for locks released by programs that send none, and for hints that were lost.
// The first in the line does so at intervals from firstRetry to lastRetry. The others, who may have become the first without being told, have the
// first try; they share the rate that it comes to in the end, since many may have joined at the same time, up to an interval of rareRetry each. So
// the broker has no more to do where many wait.
const (
	firstRetry  = 500 * time.Millisecond
	retryGrowth = 10
	lastRetry   = retryGrowth * firstRetry
	rareRetry   = 5 * time.Minute
)

// afterCrash is when to try again after a failed try with the hint of a tripwire: that comes a few milliseconds before the broker has
// removed the dead holder's queue.
var afterCrash = []time.Duration{
	2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond,
}

// attempt tries to get what one waits for: nil, an error that matches errBusy, or one that ends the waiting.
type attempt func(context.Context) error

// wait stands in line until try has succeeded, ctx ends, or the hold connection is gone.
func (s *session) wait(ctx context.Context, try attempt) error {
	slow := backoff.NewExponentialBackOff(backoff.WithInitialInterval(s.cfg.retry),
		backoff.WithMaxInterval(max(lastRetry, s.cfg.retry)), backoff.WithMaxElapsedTime(0))
	for removed := 0; ; removed++ {
		channel := s.openLine(ctx)
		others := s.ahead
		if others == 0 { // else what came free since the last try is for them
			if err := s.tryWaiting(ctx, try); !errors.Is(err, errBusy) {
				return err
			}
		}
		place, err := s.join(ctx, channel)
		if absent(err) && removed < maxRounds {
			continue // a releaser took the line for unused and removed it: the lock may be free
		}
		if place != nil {
			removed = 0
		}
		s.tellWaiting(place)
		soon := s.nextRetry(place, slow)
		if others > 0 && s.ahead == 0 { // they have gone, and perhaps nobody was told of what came free
			soon = 0
		}
		err = s.standIn(ctx, place, soon, slow, try)
		s.first = false
		if !errors.Is(err, errLineLost) {
			return err
		}
		s.putBack(ctx) // only the first in the line may keep a part
	}
}

// errLineLost says that the place in the line is gone, and nothing else.
var errLineLost = errors.New("the waiting line is gone")

// standIn waits in one place of the line; without one (nil) it only retries slowly, at first after soon.
func (s *session) standIn(ctx context.Context, place *line, soon time.Duration, slow backoff.BackOff, try attempt) error {
	var hints <-chan amqp.Delivery
	if place != nil {
		hints = place.hints
	}
	timer := time.NewTimer(soon)
	defer timer.Stop()
	for {
		select {
		case hint, ok := <-hints:
			if !ok {
				hints, s.first = nil, false // not back at once: whatever removed the line may do so again
				s.putBack(ctx)
				s.tellWaiting(nil)
				timer.Reset(s.nextRetry(nil, slow)) // from far behind it would be minutes
				continue
			}
			if !s.first {
				s.first = true
				s.tellWaiting(place)
				timer.Reset(s.nextRetry(place, slow))
			}
			if hint.Type == promoted {
				_ = hint.Ack(false)
				if s.talk != nil {
					_ = s.openProbes(ctx) // for the hint to the next, which shall not wait for that
				}
				continue
			}
			err := s.tryHint(ctx, hint, try)
			if errors.Is(err, errBusy) {
				_ = hint.Ack(false) // only now: a hint that dies with us goes to the next
				s.tellWaiting(place)
				slow.Reset() // what it was about may be true a little later
				timer.Reset(s.nextRetry(place, slow))
				continue
			}
			if err == nil {
				s.pass(place, hint)
			}
			return err
		case <-timer.C:
			if hints != nil && !s.first && s.ahead > 0 && s.nudge(ctx) {
				s.moveUp(ctx, place)
				s.tellWaiting(place)
				timer.Reset(s.nextRetry(place, slow))
				continue
			}
			err := s.tryCautiously(ctx, try)
			if errors.Is(err, errBusy) {
				if hints == nil {
					return errLineLost
				}
				s.moveUp(ctx, place)
				s.tellWaiting(place)
				timer.Reset(s.nextRetry(place, slow))
				continue
			}
			return s.leave(place, err)
		case <-s.hold.ended:
			return refused(s.hold.broker, "wait for "+s.lockName(), connectionLost(s.hold.why))
		case <-ctx.Done():
			return s.leave(place, s.lastTry(ctx, try))
		}
	}
}

// tryHint tries at once, and some times more when the hint came from a tripwire.
func (s *session) tryHint(ctx context.Context, hint amqp.Delivery, try attempt) error {
	err := s.tryWaiting(ctx, try)
	if _, crashed := hint.Headers["x-death"]; !crashed {
		return err
	}
	for _, pause := range afterCrash {
		if !errors.Is(err, errBusy) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		err = s.tryCautiously(ctx, try)
	}
	return err
}

// tryCautiously is tryWaiting for a lock that is probably held still. RabbitMQ logs a claim that it refuses as an error, and a waiter may wait for
// days: so it asks first whether a mutex is free, if it can. Who looks for slots has always asked.
func (s *session) tryCautiously(ctx context.Context, try attempt) error {
	if s.cfg.Kind == Mutex {
		if free, sure := s.isMissing(ctx, s.cfg.Name); sure && !free {
			return errBusy
		}
	}
	return s.tryWaiting(ctx, try)
}

// nudge has the first in the line try: one of those behind it would overtake it by a try of its own. It tells whether that can work: the broker has
// taken the hint, and is in no alarm.
func (s *session) nudge(ctx context.Context) bool {
	missing, sure := s.isMissing(ctx, lineQueue(s.cfg.Name)) // the question is a hint
	return sure && !missing
}

// isMissing asks whether a queue is missing, where that can be asked at once.
func (s *session) isMissing(ctx context.Context, queue string) (missing, sure bool) {
	if s.mute || s.talk == nil || s.talk.IsClosed() || s.talk.blocked.Load() {
		return false, false
	}
	missing, err := s.missing(ctx, queue)
	if err != nil {
		s.probes, s.mute = nil, code(err) == amqp.AccessRefused
	}
	return missing, err == nil
}

// nextRetry is when to try without a hint.
func (s *session) nextRetry(place *line, slow backoff.BackOff) time.Duration {
	d := slow.NextBackOff()
	if place != nil && !s.first && s.ahead > 0 {
		d = max(d, min(max(d, retryGrowth*s.cfg.retry)*time.Duration(s.ahead+1), rareRetry))
	}
	return d
}

// pass leaves the line after a success with a hint in hand. A semaphore may have more free slots, so the hint goes on to the next waiter;
// a mutex has not. The answers are not waited for: they concern those who still stand in line.
func (s *session) pass(place *line, hint amqp.Delivery) {
	tell := s.tell
	s.passing.Go(func() { // ends with the talk connection at the latest
		if s.cfg.Kind == Semaphore {
			_ = place.leave()
			return
		}
		_ = hint.Ack(false)
		if place.leave() == nil {
			_ = tell.do(func(ch *amqp.Channel) error { return promote(ch, s.cfg.Name) })
		}
	})
}

// leave leaves the line after a try without a hint in hand that has succeeded, and tells the next in it to try: more may have come free than this. A
// holder that went on standing there would take the hints that are for others. It returns err, which is that of the try.
func (s *session) leave(place *line, err error) error {
	if place == nil || err != nil {
		return err
	}
	tell := s.tell
	s.passing.Go(func() { // ends with the talk connection at the latest
		if place.leave() == nil {
			_ = tell.do(func(ch *amqp.Channel) error { return wake(ch, s.cfg.Name) })
		}
	})
	return nil
}

// tryWaiting is a try for one who waits anyway: a broker that does not answer well now is no reason to give up.
func (s *session) tryWaiting(ctx context.Context, try attempt) error {
	err := try(ctx)
	if err != nil {
		s.why = err
	}
	var alarm *alarmError
	if errors.As(err, &alarm) && s.cfg.Warnf != nil && !s.warned {
		s.warned = true
		s.cfg.Warnf("waiting for %s until %s can tell whether it is free: %v", s.lockName(), s.hold.broker, alarm)
	}
	if errors.Is(err, ErrUnreachable) && ctx.Err() == nil && !s.hold.IsClosed() {
		s.cfg.Logf("%v; waiting on", err)
		return errBusy
	}
	if errors.Is(err, errBusy) {
		_ = call(ctx, s.own.open) // the refusal has closed the channel; the next try shall not wait for it
	}
	return err
}

// lastTry is for a lock that came free without a hint just before the time was over.
func (s *session) lastTry(ctx context.Context, try attempt) error {
	if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return try(ctx)
}

// openLine declares the line and returns the channel to stand in it with, or nil where there can be no line (no permission, a policy, no
// connection): then the slow retry is all there is. s.ahead says then how many stand in it.
func (s *session) openLine(ctx context.Context) *amqp.Channel {
	s.ahead = 0
	channel, err := (*amqp.Channel)(nil), s.openTalk(ctx)
	if err == nil {
		talk, tell := s.talk.Connection, s.tell
		channel, err = timedFor(ctx, s, "open the waiting line", func(context.Context) (*amqp.Channel, error) {
			channel, err := talk.Channel()
			if err == nil {
				err = tell.open() // for what is told on leaving the line
			}
			return channel, err
		})
	}
	if err == nil {
		s.ahead, err = timedFor(ctx, s, "declare the waiting line", func(context.Context) (int, error) {
			return declareLine(channel, s.cfg.Name)
		})
	}
	if err != nil {
		s.cfg.Logf("no waiting line: %v", err)
		return nil
	}
	return channel
}

// join takes the place in the line; nil where there is no line.
func (s *session) join(ctx context.Context, channel *amqp.Channel) (*line, error) {
	if channel == nil {
		s.who.joins(false)
		return nil, nil
	}
	type joined struct {
		*line
		n int
	}
	all, err := timedFor(ctx, s, "join the waiting line", func(context.Context) (joined, error) {
		place, err := join(channel, s.cfg.Name)
		if err != nil {
			return joined{}, err
		}
		n, err := declareLine(channel, s.cfg.Name) // of those who came with us nobody was there before
		return joined{place, n}, err
	})
	place := all.line
	if err == nil {
		s.ahead = max(all.n-1, 0)
	}
	s.who.joins(err == nil)
	if err != nil && code(err) == 0 {
		s.dropTalk() // or we may join yet, and nobody would heed the hints that come
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Logf("no place in the waiting line: %v", err)
	}
	return place, err
}

// wakeNext sends a hint on the talk connection, as the question whether there is a line, and tells the answer: whether somebody may have got it.
func (s *session) wakeNext(ctx context.Context) (heard bool) {
	_ = call(ctx, func() error { s.passing.Wait(); return nil }) // what promotes shall not replace the hint
	missing, err := s.missing(ctx, lineQueue(s.cfg.Name))
	if err != nil {
		s.cfg.Logf("no hint to the next waiter, it will find out: %v", err)
	}
	return err == nil && !missing
}
