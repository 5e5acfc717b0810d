package locker

import (
	"context"
	"errors"

	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// A run with Config.Regain may take a lost lock again. Runs with Config.Fence leave its
// slots alone for that time. A run finds out when it has got such a slot, whose grant has
// no end in the log. It notes that there, and gives the slot back.

// reservedFrom returns a *reservedError if what was granted is reserved for others.
func (r *recorder) reservedFrom(ctx context.Context, tail *history.Tail) error {
	by, err := tail.ReservedFrom(ctx, r.grant)
	if err != nil || len(by) == 0 {
		return err
	}
	return &reservedError{by}
}

// avoidReserved is for one that has met reserved slots. It has the attempt leave alone
// what is still reserved. The error matches fault.ErrBusy if that is all there can be.
func (c *contender) avoidReserved(ctx context.Context, o *opening) error {
	if c.reserved == nil {
		return nil
	}
	<-o.done
	if o.err != nil {
		return nil // the attempt finds out what is wrong
	}
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	by := o.tail.Reserved(ctx)
	c.avoided = map[int]bool{}
	c.avoid(by)
	c.reserved = nil
	if len(c.avoided) == 0 {
		return nil
	}
	c.reserved = &reservedError{by}
	if c.cfg.Kind == wire.Mutex || c.cfg.Count == All {
		c.busy = c.reserved
		return c.reserved
	}
	return nil
}

// whyBusy makes err, that of a try that has left reserved slots alone, say so.
func (c *contender) whyBusy(err error) error {
	if isBusy(err) && c.reserved != nil {
		c.busy = c.reserved
		return c.reserved
	}
	return err
}

// avoid has the attempt leave these reserved slots alone too.
func (c *contender) avoid(by []history.Reserved) {
	if c.avoided == nil {
		c.avoided = map[int]bool{}
	}
	for _, r := range by {
		if c.cfg.Kind == wire.Mutex {
			c.avoided[0] = true
		}
		for _, slot := range r.Slots {
			c.avoided[slot] = true
		}
	}
}

// yield gives back what is reserved for others. It sends no hint: the next waiter would
// have to do the same. It reports whether other slots may be free.
func (c *contender) yield(ctx context.Context, err error) (others bool) {
	if !errors.As(err, &c.reserved) {
		return false
	}
	c.busy = c.reserved
	c.avoid(c.reserved.by)
	c.giveAllBack(ctx)
	return c.cfg.Kind == wire.Semaphore && c.cfg.Count != All
}
