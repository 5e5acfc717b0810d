package amqplock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// errBusy says that others hold the lock.
var errBusy = errors.New("it is held by others")

// errPaused matches errBusy.
var errPaused = &Error{Kind: errBusy, Text: "it is paused (0 slots)"}

// Acquire takes the lock, waiting for it in line, and returns when the broker has granted it and the checks of Lock have
// succeeded once.
//
// It waits until ctx ends; then the error matches ErrNotAcquired and the cause of ctx. A broker that cannot be reached, at first or after it
// went away while we waited, has Broker.ConnectTimeout to come back; then, or when the deadline of ctx passes before there was any connection, the error
// matches ErrUnreachable. What would fail again (a certificate) is an error at once; a refusal (a wrong password) is one when it comes again after a
// second, unless that broker has accepted us before. Nothing is left on the broker when it fails. To see to that it takes up to two seconds more
// than ctx has, where the broker does not answer.
func Acquire(ctx context.Context, cfg Config) (*Lock, error) { return acquire(ctx, cfg, true) }

// TryAcquire is Acquire without waiting: where the lock is held by others it returns an error that matches ErrNotAcquired, and each broker
// is asked once.
func TryAcquire(ctx context.Context, cfg Config) (*Lock, error) { return acquire(ctx, cfg, false) }

func acquire(ctx context.Context, cfg Config, wait bool) (*Lock, error) {
	cfg, err := cfg.validated()
	if err != nil {
		return nil, err
	}
	s, err := connectPatiently(ctx, cfg, wait)
	if err != nil {
		return nil, err
	}
	pace := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(lastRetry), backoff.WithMaxElapsedTime(0))
	for {
		began := time.Now()
		lock, err := s.acquire(ctx, wait)
		if err == nil {
			return lock, nil
		}
		cut := s.hold.IsClosed()
		s.abandon()
		if ctx.Err() != nil {
			return nil, s.notAcquired(ctx)
		}
		if !cut || !wait {
			return nil, err
		}
		cfg.Logf("%v; connecting again", err)
		s.why = err
		s.tellWaiting(nil)
		if time.Since(began) > cfg.ConnectTimeout {
			pace.Reset()
		}
		old := s
		s, err = reconnect(ctx, cfg, pace.NextBackOff())
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
	case errors.Is(e.Err, context.DeadlineExceeded):
		e.Text += " in time: the broker has not answered yet"
	default:
		e.Text += fmt.Sprintf(": %v", e.Err)
	}
	return e
}

func (s *session) acquire(ctx context.Context, wait bool) (*Lock, error) {
	s.patient = wait
	lock, err := s.try(ctx)
	var alarm *alarmError // nobody knows yet whether the lock is free; the alarm will end
	switch {
	case errors.Is(err, errBusy) && !wait:
		return nil, s.notAcquired(ctx)
	case errors.Is(err, errBusy), errors.As(err, &alarm) && wait:
	default:
		return lock, err
	}
	s.cfg.Logf("waiting for %s: %v", s.lockName(), err)
	s.why = err
	s.tellWaiting(nil)
	err = s.wait(ctx, func(ctx context.Context) (err error) {
		lock, err = s.try(ctx)
		return err
	})
	return lock, err
}

// try makes one attempt. The error matches errBusy when others hold the lock; the session keeps it, to tell it at the end.
func (s *session) try(ctx context.Context) (*Lock, error) {
	take := s.takeSlots
	if s.cfg.Kind == Mutex {
		take = s.takeMutex
	}
	sent, ours, err := take(ctx)
	if err == nil && s.leaseIsOver(sent) { // the answers took that long, or the machine was suspended
		sent, err = s.proveAgain(ctx, ours)
	}
	if errors.Is(err, errBusy) {
		s.busy = err
	}
	if err != nil {
		return nil, err
	}
	return s.newLock(sent, ours)
}

func (s *session) takeMutex(ctx context.Context) (sent time.Duration, ours bool, err error) {
	if sent, err = s.claim(ctx, 0, true); err == nil {
		s.held.add(0)
	}
	return sent, true, err
}

// takeSlots collects the slots that the configuration asks for: Count, all or none, or with Greedy all that are free.
//
// Who gets some of several and waits for the rest could wait for another who does the same, for ever. So only the first in the line
// keeps a part, of whom there is one; everybody else gives all back.
func (s *session) takeSlots(ctx context.Context) (sent time.Duration, ours bool, err error) {
	want := s.cfg.Count
	if s.cfg.Greedy {
		want = MaxSlots
	}
	defer func() {
		if err != nil && !s.first && ctx.Err() == nil { // else abandon does it
			s.putBack(ctx)
		}
	}()
	for round := 1; ; round++ {
		begun := time.Now()
		found, err := s.find(ctx, want-len(s.held.list()))
		if err == nil && s.why == nil { // a waiter's tries would be too many to tell
			s.cfg.Logf("looked for slots of %s in %s: %d held, %d free among those seen", s.lockName(), took(begun), found.held, len(found.free))
		}
		if err == nil && !found.known {
			found, err = s.createIfAsked(ctx, want)
		}
		if err != nil {
			return 0, false, err
		}
		var collided bool
		if s.first || s.cfg.Greedy || len(found.free)+len(s.held.list()) >= want {
			if sent, collided, err = s.claimFree(ctx, found, want); err != nil {
				return 0, false, err
			}
		}
		got := len(s.held.list())
		if got >= want || s.cfg.Greedy && got > 0 {
			if got > 1 { // the first of them may be an old one
				sent, err = s.prove(ctx, &s.held, found.ours)
			}
			return sent, found.ours, err
		}
		if collided && round < maxRounds { // somebody was faster: look again, what we know is old
			continue
		}
		if found.count == 0 {
			return 0, false, errPaused
		}
		if want > 1 && !s.cfg.Greedy {
			return 0, false, &Error{Kind: errBusy, Text: fmt.Sprintf("%d of the %d slots were free, %d are wanted",
				len(found.free), found.count, want)}
		}
		return 0, false, errBusy
	}
}

// maxRounds bounds how often in a row others may be faster before we stand in line.
const maxRounds = 20

// claimFree claims free slots in random order until want are held, and tells whether others were faster somewhere.
func (s *session) claimFree(ctx context.Context, found slots, want int) (sent time.Duration, collided bool, err error) {
	for _, i := range rand.Perm(len(found.free)) {
		if len(s.held.list()) >= want {
			break
		}
		sent, err = s.claim(ctx, found.free[i], found.ours)
		var gone *goneError
		switch {
		case err == nil:
			s.held.add(found.free[i])
		case errors.As(err, &gone): // a hole, which find does not see
		case errors.Is(err, errBusy):
			collided = true
		default:
			return 0, false, err
		}
		if collided && !s.cfg.Greedy {
			break
		}
	}
	return sent, collided, nil
}

// putBack gives up what was collected, and lets the next waiter know.
func (s *session) putBack(ctx context.Context) {
	held := s.held.list()
	if len(held) == 0 {
		return
	}
	s.giveBack(ctx, held)
	for _, slot := range held {
		s.held.drop(slot)
	}
	s.wakeNext(ctx)
}

// abandon ends a session that did not get the lock. Where the broker does not answer it takes a second for that, and one more for what was
// collected. The caller's context has often ended by then.
func (s *session) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.putBack(ctx)
	s.farewell()
}

// createIfAsked makes the semaphore that was not found, with Config.Slots slots.
func (s *session) createIfAsked(ctx context.Context, want int) (slots, error) {
	if s.cfg.Slots == 0 {
		return slots{}, noSemaphore(s.cfg.Name, s.hold.broker)
	}
	a := &admin{session: s}
	err := a.exclusively(ctx, func() error {
		// Another may have been faster, and --slots never resizes.
		found, err := s.survey(ctx)
		if err != nil || found.known {
			return err
		}
		if err := a.ensure(ctx, 0); err != nil {
			return err
		}
		if err := a.grow(ctx, 0, s.cfg.Slots); err != nil {
			return err
		}
		s.cfg.Logf("created semaphore %q with %d slots", s.cfg.Name, s.cfg.Slots)
		return nil
	})
	found, findErr := s.find(ctx, want)
	if err != nil && findErr == nil && found.known {
		return found, nil // who kept us from it has done it
	}
	if err == nil {
		err = findErr
	}
	return found, err
}

func noSemaphore(name, broker string) error {
	return &Error{
		Kind: ErrNotFound,
		Text: fmt.Sprintf("there is no semaphore %q on %s", name, broker),
		Hint: fmt.Sprintf("create it with: amqprun change --semaphore %s N, or give --slots N", shellWord(name)),
	}
}
