package locker

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// CutOff reports whether the lock was lost with a cutError as the reason. An eviction may
// still arrive on the publish connection, and be confirmed. It ends the run all the same.
func (h *Holder) CutOff() bool {
	var cut *cutError
	return h.evicted.Load() == nil && errors.As(context.Cause(h.ctx), &cut)
}

// MayRegain reports whether the lock was lost, and Regain may take it again.
func (h *Holder) MayRegain() bool { return h.cfg.Regain > 0 && h.CutOff() }

// The pauses between two tries to take a lock again. Another may have it for a moment, or
// the broker does not know yet that our connection is dead.
const (
	regainFirst = 50 * time.Millisecond
	regainLast  = 500 * time.Millisecond
)

// Regain takes a lost lock again, before the wait queue, if nobody else has had it.
// amqplock.Lock.Regain documents it.
func (h *Holder) Regain(ctx context.Context) (*Holder, error) {
	switch lost := context.Cause(h.ctx); {
	case !errors.Is(lost, fault.ErrLost):
		return nil, fault.Config("%s was not lost, and cannot be taken again", h)
	case !h.MayRegain():
		return nil, lost
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Regain)
	defer cancel()
	h.disconnect()
	if by := h.evicted.Load(); by != nil {
		return nil, h.notRegained(ctx, &finalError{*by})
	}
	// A new connection does not reset it: the broker may accept each, and refuse the claim.
	pace := wire.Pace(regainFirst, regainLast)
	for {
		next, err := h.regainOnce(ctx)
		var final *finalError
		switch {
		case err == nil:
			h.cfg.Debugf("held %s again after %s", next, wire.Took(begun))
			return next, nil
		case errors.As(err, &final), ctx.Err() != nil:
			return nil, h.notRegained(ctx, err)
		}
		h.cfg.Debugf("could not take %s again yet: %v", h, err)
		h.cfg.Skip()
		if wire.Pause(ctx, pace.NextBackOff()) != nil {
			return nil, h.notRegained(ctx, err)
		}
	}
}

// finalError says that the lock must not be taken again.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// disconnect ends both connections of a lost lock, and all that uses them. The broker may
// still serve the one that holds the lock.
func (h *Holder) disconnect() {
	h.stop()
	h.expiry.Stop()
	h.hurry() // a grant that is in the log is all that is needed
	h.publishing.Wait()
	h.following.close()
	h.link.Close()
	h.background.Wait()
	h.who.Wait()
}

// regainOnce connects, and tries to take the lock until it has that or the connection
// ends.
func (h *Holder) regainOnce(ctx context.Context) (*Holder, error) {
	cfg := h.cfg
	cfg.Slots = 0 // nothing is created again
	c, err := redial(ctx, cfg, 0, func(error) bool { return true },
		func(err error) { cfg.Debugf("%v", err) })
	if err != nil {
		return nil, err
	}
	c.ours, c.looked = h.ours, true
	c.who.Joins(false) // as a waiter without a place
	err = c.takeAgain(ctx, h.Slots()[0])
	if err == nil {
		err = h.log.regain(ctx, c)
	}
	if err == nil && c.isOld() {
		err = c.proveAgain(ctx)
	}
	if err != nil {
		c.abandon()
		return nil, err
	}
	unused := c.log
	c.log = h.log
	next, err := newHolder(c)
	if err != nil {
		c.log = unused // abandon would withdraw the grant of a run that goes on
		c.abandon()
		return nil, err
	}
	h.log = &recorder{logWriter: logWriter{cfg: cfg}, lost: true}
	return next, nil
}

// takeAgain claims this slot, 0 for a mutex, until it has that, the connection ends, or
// the slot is gone.
func (c *claims) takeAgain(ctx context.Context, slot int) error {
	for pace := wire.Pace(regainFirst, regainLast); ; {
		err := c.claim(ctx, slot)
		var gone *goneError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &gone) && gone.check == slotCheck:
			return &finalError{fmt.Errorf("it was removed: %w", err)}
		case !isBusy(err) || c.link.Lock.IsClosed():
			return err
		}
		if wire.Pause(ctx, pace.NextBackOff()) != nil {
			return err
		}
	}
}

// regain writes into the log that the run has taken its slot again, and looks whether
// another run has had it. Our record comes behind the grant of such a run, because each
// writes its own while it holds the slot.
func (r *recorder) regain(ctx context.Context, c *contender) error {
	for begun := time.Now(); ; {
		err := r.regainOnce(ctx, c)
		var final *finalError
		if err == nil || errors.As(err, &final) || c.link.Lock.IsClosed() {
			return err
		}
		publish := c.link.Publish()
		mayBeElsewhere := wire.Code(err) == amqp.PreconditionFailed && len(c.cfg.Names()) > 1
		if time.Since(begun) > reopenTime && publish != nil &&
			(mayReopen(err, publish) || mayBeElsewhere) {
			return err // as with contender.tokenless, another node may be well
		}
		r.cfg.Debugf("%v; asking again", err) // a stream has no leader at once after a restart
		if wire.Pause(ctx, regainLast) != nil {
			return err
		}
	}
}

func (r *recorder) regainOnce(ctx context.Context, c *contender) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.ConnectTimeout)
	defer cancel()
	if err := r.reach(ctx, c.link); err != nil {
		return err
	}
	tail, err := r.log.Open(ctx)
	if err != nil {
		return err
	}
	defer tail.Close()
	again := r.grant
	again.Regained = true
	isCut := func() error { return c.cutOff("take again") }
	if again, err = tail.Grant(ctx, again, isCut); err != nil {
		return err
	}
	others, err := r.log.Others(ctx, r.grant, again.Read.Offset)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return &finalError{fmt.Errorf("nobody knows who has had it: %w", err)}
	case err != nil:
		return err
	case len(others) > 0:
		return &finalError{fmt.Errorf("it was granted to a run of %s", others[0].Writer())}
	}
	if r.follower != nil {
		r.follower.Close()
	}
	r.follower, r.log = tail.Follow(again)
	r.publishes(c.link.Publish()) // the one before has ended
	again.At = r.grant.At
	r.grant = again
	return nil
}

// notRegained is the loss, with why the lock was not taken again.
func (h *Holder) notRegained(ctx context.Context, why error) error {
	known, _ := errors.AsType[*fault.Error](context.Cause(h.ctx))
	lost := *known
	var final *finalError
	switch {
	case errors.As(why, &final):
		lost.Text += fmt.Sprintf("; not taken again: %v", wire.OneLine(why))
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		lost.Text += fmt.Sprintf("; not taken again within %s: %v", h.cfg.Regain, wire.OneLine(why))
	}
	return &lost
}
