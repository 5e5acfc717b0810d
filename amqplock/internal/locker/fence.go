package locker

import (
	"context"
	"errors"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// try is that of the attempt. With Config.Fence its success is a grant that is in the
// log, and has a token.
func (c *contender) try(ctx context.Context, first bool) error {
	if !c.cfg.Fence {
		return c.attempt.try(ctx, first)
	}
	again, err := c.tryFenced(ctx, first, false)
	for again {
		again, err = c.tryFenced(ctx, first, true)
	}
	return err
}

// tryFenced tries once. yielded says that the try before has just got a slot that is
// reserved. again says that other slots may be free: each such try leaves one more alone.
func (c *contender) tryFenced(ctx context.Context, first, yielded bool) (again bool, err error) {
	if err := c.link.OpenPublish(ctx); err != nil {
		return false, err
	}
	o := c.log.open(ctx, c.link.Publish())
	defer o.close()
	if !yielded { // else our note in the log may come late, and we would get the slot again
		if err := c.avoidReserved(ctx, o); err != nil {
			return false, err
		}
	}
	err = c.attempt.try(ctx, first)
	if err != nil {
		return false, c.whyBusy(err)
	}
	waited := false
	if err = c.fence(ctx, o); err == nil {
		waited, err = c.awaitRivals(ctx)
	}
	if err == nil {
		err = c.ranAlready(ctx)
	}
	if err == nil && (waited || c.isOld()) { // others may have had the lock meanwhile
		if err = c.proveAgain(ctx); err == nil {
			err = c.catchUp(ctx)
		}
	}
	if err != nil {
		c.log.withdraw(ctx, c.link)
		switch {
		case c.yield(ctx, err):
			return true, err
		case ctx.Err() == nil: // else abandon does it
			c.putBack(ctx)
			if c.tokenless { // else we would get the hint for the next waiter, again and again
				c.link.Close()
			}
		}
	}
	return false, err
}

// fence opens the publish connection again for reopenTime, after pauses. RabbitMQ closes
// one (541) that begins to read a stream while that is deleted.
const (
	reopenTime  = 5 * time.Second
	reopenFirst = 5 * time.Millisecond
	reopenLast  = 250 * time.Millisecond
)

// fence writes the grant of what is held, and gets its token.
func (c *contender) fence(ctx context.Context, o *opening) error {
	<-o.done
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	begun, err := time.Now(), o.err
	isCut := func() error { return c.cutOff("take a token for") }
	for pause := reopenFirst; ; pause = min(2*pause, reopenLast) {
		if cut := isCut(); cut != nil {
			return cut
		}
		if err == nil {
			err = c.log.fence(ctx, o.tail, c.held.list(), isCut)
		}
		if reopen := c.judge(err, o.conn); !reopen {
			return err
		}
		if time.Since(begun) > reopenTime || wire.Pause(ctx, pause) != nil {
			return err
		}
		c.cfg.Debugf("%v; asking for a token once more", err)
		if err = c.link.OpenPublish(ctx); err != nil {
			return err
		}
		o.close()
		again := c.log.open(ctx, c.link.Publish())
		<-again.done
		*o, err = *again, again.err
	}
}

// judge notes whether err, of the use of the log over that connection, says that this
// node gives no token. It reports whether a new connection may help.
func (c *contender) judge(err error, publish *wire.Conn) (reopen bool) {
	reopen = err != nil && mayReopen(err, publish)
	c.tokenless = reopen ||
		errors.Is(err, fault.ErrUnreachable) && !isUsual(err) && !c.link.Lock.IsClosed()
	if c.tokenless && !reopen && !errors.Is(err, context.DeadlineExceeded) {
		c.unfit = publish.Broker
	}
	return reopen
}

// checkLog reports why this node would give no token. It needs no lock.
func (c *contender) checkLog(ctx context.Context) error {
	c.who.Joins(false) // as a waiter without a place
	if err := c.link.OpenPublish(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	publish := c.link.Publish()
	err := history.New(publish, c.cfg.Ref).Check(ctx)
	c.judge(err, publish)
	return err
}

func (r *recorder) fence(
	ctx context.Context, tail *history.Tail, slots []int, isCut func() error,
) error {
	r.holds(slots)
	granted, err := tail.Grant(ctx, r.grant, isCut)
	if granted.Token > 0 { // it is in the log, or may come: withdraw writes behind it
		r.grant, r.token, r.written = granted, granted.Token, true
		r.log = tail.Log()
	}
	if err == nil {
		err = r.reservedFrom(ctx, tail)
	}
	if err == nil {
		r.follower, r.log = tail.Follow(granted)
		r.cfg.Debugf("the token of %s is %d", r.cfg.Describe(slots), granted.Token)
	}
	return err
}
