package locker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/history"
)

// A lock with Config.Fence can be granted twice by a cluster that uses Mnesia, and both
// runs notice: the earlier one follows the log and stops, the later one waits for that.
// Where the broker's version cannot grant twice nothing of this happens.

// awaitRivals waits for the runs that may still be alive in our slots. waited says that
// the proof of the grant is older by that.
func (c *contender) awaitRivals(ctx context.Context) (waited bool, err error) {
	if c.log.follower == nil {
		return false, nil
	}
	waited, err = c.log.follower.AwaitRivals(ctx, func(r *history.Record) error {
		c.busy = &fault.Error{
			Kind: fault.ErrBusy,
			Text: "it was granted twice: a run of " + r.Whose() + " has it still",
		}
		if !c.waits {
			return c.busy
		}
		c.cfg.Warnf("%s on %s was granted twice: waiting for the end of a run of %s",
			c.cfg.Describe(c.held.list()), c.link.Lock.Broker, r.Whose())
		return nil
	})
	if newer := (*history.SupersededError)(nil); errors.As(err, &newer) {
		c.busy = &fault.Error{Kind: fault.ErrBusy, Text: newer.Error(), Err: newer}
		err = c.busy
	}
	return waited, err
}

// follow has the holder stop when its slot is granted again. It returns at once; what it
// starts ends with ctx.
func (h *Holder) follow(ctx context.Context) {
	if f := h.log.follower; f != nil {
		following := &following{Holder: h, from: f}
		h.following.Go(func() { following.run(ctx) })
	}
}

// following reads the log for a holder.
type following struct {
	*Holder
	from   *history.Follower
	warned bool // that nothing is read
}

func (f *following) run(ctx context.Context) {
	for ctx.Err() == nil {
		r, err := f.from.Next(ctx)
		switch {
		case err != nil:
			f.moveOn(ctx, err)
		case f.from.Supersedes(r):
			f.yield(ctx, r)
		}
	}
}

// signTime bounds the writing of a sign of life, so that the stop is not late.
const signTime = 100 * time.Millisecond

// yield ends the lock, for a run to which it was granted again. It gives each of these a
// sign of life, also when the lock is lost already: the work may still be stopping.
func (f *following) yield(ctx context.Context, r *history.Record) {
	ctx, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	if err := f.from.Sign(ctx, 2*f.lease.Heartbeat()); err != nil {
		f.cfg.Debugf("no sign of life: %v", err)
	}
	f.lose(f.String(), fmt.Errorf("it was granted again to a run of %s", r.Whose()))
}

// unread is how long the log may be unreadable before a warning says so.
const unread = 30 * time.Second

// The pauses before the log is read again, unless there is a new publish connection.
const (
	moveFirst = 100 * time.Millisecond
	moveLast  = 10 * time.Second
)

// moveOn has the log read on, after an error. A log that cannot be read costs nobody the
// lock. It tries until ctx ends.
func (f *following) moveOn(ctx context.Context, err error) {
	pace := backoff.NewExponentialBackOff(backoff.WithInitialInterval(moveFirst),
		backoff.WithMaxInterval(moveLast), backoff.WithMaxElapsedTime(0))
	begun, conn := time.Now(), f.from.Conn()
	for err != nil && ctx.Err() == nil {
		if !f.warned && time.Since(begun) > unread {
			f.warned = true
			f.cfg.Warnf("nobody would notice if %s was granted twice: %v", f, err)
		}
		select {
		case conn = <-f.log.published:
		case <-time.After(pace.NextBackOff()):
		case <-ctx.Done():
			return
		}
		if conn.IsClosed() {
			continue
		}
		f.cfg.Debugf("reading the history again: %v", err)
		bounded, cancel := context.WithTimeout(ctx, f.cfg.ConnectTimeout)
		err = f.from.Move(bounded, conn)
		cancel()
	}
}
