package amqplock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

// errBusy says that others hold the lock.
var errBusy = errors.New("it is held by others")

// errPaused matches errBusy.
var errPaused = &Error{Kind: errBusy, Text: "it is paused (0 slots)"}

// Acquire takes the lock, waiting for it in line, and returns when the broker has granted it and the checks of Lock have
// succeeded once.
//
// It waits until ctx ends; then the error matches ErrNotAcquired and the cause of ctx. A broker that cannot be reached at first is an
// error at once (ErrUnreachable); one that goes away while we wait has Broker.ConnectTimeout to come back. Nothing is left on the
// broker when it fails.
func Acquire(ctx context.Context, cfg Config) (*Lock, error) { return acquire(ctx, cfg, true) }

// TryAcquire is Acquire without waiting: where the lock is held by others it returns an error that matches ErrNotAcquired.
func TryAcquire(ctx context.Context, cfg Config) (*Lock, error) { return acquire(ctx, cfg, false) }

func acquire(ctx context.Context, cfg Config, wait bool) (*Lock, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg, uri, _ := cfg.withDefaults()
	s, err := connectHolder(ctx, cfg, uri)
	if err != nil {
		return nil, err
	}
	away := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(cfg.ConnectTimeout))
	for {
		lock, err := s.acquire(ctx, wait)
		if err == nil {
			return lock, nil
		}
		cut := s.hold.IsClosed()
		s.drop()
		if ctx.Err() != nil && (s.busy != nil || !errors.Is(err, context.DeadlineExceeded)) {
			return nil, s.notAcquired(ctx)
		}
		if ctx.Err() != nil || !cut || !wait {
			return nil, err
		}
		cfg.Logf("%v; connecting again", err)
		away.Reset()
		old := s
		s, err = backoff.RetryWithData(func() (*session, error) {
			s, err := connectHolder(ctx, cfg, uri)
			if err != nil && !errors.Is(err, ErrUnreachable) {
				err = backoff.Permanent(err)
			}
			return s, err
		}, backoff.WithContext(away, ctx))
		if ctx.Err() != nil && err != nil {
			return nil, old.notAcquired(ctx)
		}
		if err != nil {
			return nil, err
		}
		s.busy = old.busy
	}
}

// notAcquired is the error when the caller's patience, ctx, has ended, or there was none.
func (s *session) notAcquired(ctx context.Context) error {
	e := &Error{Kind: ErrNotAcquired, Err: context.Cause(ctx)}
	e.Text = fmt.Sprintf("%s on %s was not acquired", s.lockName(), s.hold.broker)
	switch {
	case e.Err == nil:
		e.Text += fmt.Sprintf(": %v", s.busy)
	case errors.Is(e.Err, context.DeadlineExceeded) && s.busy != nil:
		e.Text += fmt.Sprintf(" in time: %v", s.busy)
	default:
		e.Text += fmt.Sprintf(": %v", e.Err)
	}
	return e
}

// lockName is how messages call the lock.
func (s *session) lockName() string { return fmt.Sprintf("%s %q", s.cfg.Kind, s.cfg.Name) }

func (s *session) acquire(ctx context.Context, wait bool) (*Lock, error) {
	lock, err := s.try(ctx)
	if !errors.Is(err, errBusy) {
		return lock, err
	}
	if !wait {
		return nil, s.notAcquired(ctx)
	}
	s.cfg.Logf("waiting for %s: %v", s.lockName(), err)
	return s.wait(ctx)
}

// try makes one attempt. The error matches errBusy when others hold the lock; the session keeps it, to tell it at the end.
func (s *session) try(ctx context.Context) (*Lock, error) {
	lock, err := s.tryOnce(ctx)
	if errors.Is(err, errBusy) {
		s.busy = err
	}
	return lock, err
}

func (s *session) tryOnce(ctx context.Context) (*Lock, error) {
	if s.cfg.Kind == Mutex {
		return s.claim(ctx, s.cfg.Name, 0, true)
	}
	found, err := s.search(ctx, false)
	if err != nil {
		return nil, err
	}
	if !found.known {
		if found, err = s.createIfAsked(ctx); err != nil {
			return nil, err
		}
	}
	for _, slot := range found.free {
		lock, err := s.claim(ctx, heldQueue(s.cfg.Name, slot), slot, found.ours)
		if !errors.Is(err, errBusy) {
			return lock, err
		}
	}
	if found.count == 0 {
		return nil, errPaused
	}
	return nil, errBusy
}

// createIfAsked makes the semaphore that was not found, with Config.Slots slots.
func (s *session) createIfAsked(ctx context.Context) (slots, error) {
	if s.cfg.Slots == 0 {
		return slots{}, noSemaphore(s.cfg.Name, s.hold.broker)
	}
	a := &admin{session: s}
	err := a.exclusively(ctx, func() error {
		// Another may have been faster, and --slots never resizes.
		found, err := s.search(ctx, false)
		if err != nil || found.known {
			return err
		}
		return a.grow(ctx, 0, s.cfg.Slots)
	})
	if err != nil {
		return slots{}, err
	}
	s.cfg.Logf("created semaphore %q with %d slots", s.cfg.Name, s.cfg.Slots)
	return s.search(ctx, false)
}

func noSemaphore(name, broker string) error {
	return &Error{
		Kind: ErrNotFound,
		Text: fmt.Sprintf("there is no semaphore %q on %s", name, broker),
		Hint: fmt.Sprintf("create it with: amqprun change --semaphore %s N, or give --slots N", name),
	}
}

// A waiter also tries without a hint, now and then: for locks released by programs that send none, and for hints that were lost.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// wait stands in line until the lock is ours, ctx ends, or the hold connection is gone.
func (s *session) wait(ctx context.Context) (*Lock, error) {
	slow := backoff.NewExponentialBackOff(backoff.WithInitialInterval(s.cfg.retry),
		backoff.WithMaxInterval(max(lastRetry, s.cfg.retry)), backoff.WithMaxElapsedTime(0))
	for {
		channel := s.openLine(ctx)
		lock, err := s.tryWaiting(ctx)
		if !errors.Is(err, errBusy) {
			return lock, err // dropping the channel is left to the session
		}
		place, err := s.join(ctx, channel)
		if absent(err) {
			continue // a releaser took the line for unused and removed it: the lock may be free
		}
		lock, err = s.standIn(ctx, place, slow)
		if !errors.Is(err, errLineLost) {
			return lock, err
		}
	}
}

// errLineLost says that the place in the line is gone, and nothing else.
var errLineLost = errors.New("the waiting line is gone")

// standIn waits in one place of the line; without one (nil) it only retries slowly.
func (s *session) standIn(ctx context.Context, place *line, slow *backoff.ExponentialBackOff) (*Lock, error) {
	var hints <-chan amqp.Delivery
	if place != nil {
		hints = place.hints
	}
	timer := time.NewTimer(slow.NextBackOff())
	defer timer.Stop()
	for {
		select {
		case hint, ok := <-hints:
			if !ok {
				hints = nil // not at once: whatever removed the line may do so again
				continue
			}
			lock, err := s.tryWaiting(ctx)
			if errors.Is(err, errBusy) {
				_ = hint.Ack(false) // only now: a hint that dies with us goes to the next
				continue
			}
			if err == nil {
				s.pass(place, hint)
			}
			return lock, err
		case <-timer.C:
			lock, err := s.tryWaiting(ctx)
			if errors.Is(err, errBusy) {
				if hints == nil {
					return nil, errLineLost
				}
				timer.Reset(slow.NextBackOff())
				continue
			}
			if err == nil && place != nil {
				_ = place.leave()
				s.wakeNext(ctx)
			}
			return lock, err
		case why := <-s.hold.lost:
			return nil, refused(s.hold.broker, "wait for "+s.lockName(), connectionLost(why))
		case <-ctx.Done():
			return s.lastTry(ctx)
		}
	}
}

// pass leaves the line after a success with a hint in hand. A semaphore may have more free slots, so the hint goes on to the next waiter;
// a mutex has not.
func (s *session) pass(place *line, hint amqp.Delivery) {
	if s.cfg.Kind == Mutex {
		_ = hint.Ack(false)
	}
	_ = place.leave()
}

// tryWaiting is try for one who waits anyway: a broker that does not answer in time is no reason to give up.
func (s *session) tryWaiting(ctx context.Context) (*Lock, error) {
	lock, err := s.try(ctx)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && !s.hold.IsClosed() {
		s.cfg.Logf("%v; waiting on", err)
		return nil, errBusy
	}
	if errors.Is(err, errBusy) {
		_ = call(ctx, s.own.open) // the refusal has closed the channel; the next try shall not wait for it
	}
	return lock, err
}

// lastTry is for a lock that came free without a hint just before the time was over.
func (s *session) lastTry(ctx context.Context) (*Lock, error) {
	if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return s.try(ctx)
}

// openLine declares the line and returns the channel to stand in it with, or nil where there can be no line (no permission, a policy, no
// connection): then the slow retry is all there is.
func (s *session) openLine(ctx context.Context) *amqp.Channel {
	channel, err := (*amqp.Channel)(nil), s.openTalk(ctx)
	if err == nil {
		talk := s.talk.Connection
		channel, err = timedFor(ctx, s, "open the waiting line", func(context.Context) (*amqp.Channel, error) {
			channel, err := talk.Channel()
			if err != nil {
				return nil, err
			}
			return channel, declareLine(channel, s.cfg.Name)
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
		return nil, nil
	}
	place, err := timedFor(ctx, s, "join the waiting line", func(context.Context) (*line, error) {
		return join(channel, s.cfg.Name)
	})
	if err != nil {
		s.cfg.Logf("no place in the waiting line: %v", err)
	}
	return place, err
}

// wakeNext sends a hint on the talk connection.
func (s *session) wakeNext(ctx context.Context) {
	err := s.openTalk(ctx)
	if err == nil {
		tell := s.tell
		err = s.timed(ctx, "wake the next waiter", func() error {
			return tell.do(func(ch *amqp.Channel) error { return wake(ch, s.cfg.Name) })
		})
	}
	if err != nil {
		s.cfg.Logf("no hint to the next waiter, it will find out: %v", err)
	}
}
