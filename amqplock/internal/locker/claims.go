package locker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/lease"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// claims are the slots that were claimed over one link, with their proofs.
type claims struct {
	cfg     Config
	link    *wire.Link
	checker *checker
	held    *collection
	// set is that of a Holder whose lock connection we share, nil for claims of their own.
	// Only the end of that Holder closes the connection.
	set  *collection
	owed []int // Slots of a set that could not be given back yet.

	ours   bool // The slots are quorum queues.
	alone  bool // Nobody can add slots, see All.
	looked bool // A queue that refused us has been seen to be a lock.

	sent time.Duration // When the newest proofs were asked for.
	last int           // The slot whose claim they belong to, 0 if they were asked for all.
}

// claim tries to get one slot, and checks at once that the grant means something. A
// contender that was granted the lock in a minority stops here. The checks that do not
// need the grant run beside it. The error matches fault.ErrBusy when the slot is taken.
// The grant and all checks prove the lock from when the claim was sent.
func (c *claims) claim(ctx context.Context, slot int) (err error) {
	slots := []int{slot}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	granted := true // or perhaps: only a refusal says that it was not
	sent := c.cfg.clock.Now()
	begun := time.Now()
	besideCtx, stop := context.WithCancel(ctx)
	defer stop()
	beside := make(chan error, 1)
	go func() { beside <- c.ask(besideCtx, c.checks()[1:], slots) }()
	queue := c.cfg.Held(slot)
	if err = wire.Call(ctx, func() error { return c.link.Requests.Claim(queue) }); err != nil {
		stop() // whatever they would say: the answer to the claim decides, not who is faster
		granted = wire.Code(err) == 0
		err = notGranted(ctx, c.link, c.cfg.Ref, queue, err, &c.looked)
	}
	if unproven := <-beside; err == nil {
		err = unproven
	}
	if err == nil {
		err = c.lookAgain(ctx, slots)
	}
	switch {
	case err == nil:
		c.held.add(slot)
		c.sent, c.last = sent, slot
		c.cfg.Debugf("granted and checked %s in %s", c.cfg.Describe([]int{slot}), wire.Took(begun))
	case granted:
		c.giveBack(ctx, slot)
	}
	return err
}

// ask makes the checks at the same time. The first that fails ends the others. The lock
// connection of a set is not asked about a new slot, which may be just being removed. See
// checker.all.
func (c *claims) ask(ctx context.Context, list []check, slots []int) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, one := range list {
		slots := slots
		if c.set != nil && one.rest != nil { // the first is asked about on the lock connection
			lowest := slices.Min(slices.Concat(c.set.list(), slots))
			slots = slices.Concat([]int{lowest}, slots)
		}
		all.Go(func() error { return explain(c.link, c.cfg.Ref, one, slots, one.run(ctx, slots)) })
	}
	return all.Wait()
}

// lookAgain asks about each slot once more, after the grant and the proof of a majority.
// The claim of another that died with its connection may take the queue away in the first
// milliseconds, see giveBack. The cluster may have been split until the majority
// answered. And a drain may have removed the slot between its check and the grant.
func (c *claims) lookAgain(ctx context.Context, slots []int) error {
	list := slices.DeleteFunc(c.checks(), func(one check) bool { return !one.each })
	return c.ask(ctx, list, slots)
}

// notGranted explains why an exclusive declare failed; nil stays nil. The broker
// answers 405 also where the queue is not exclusive at all. Then it is no lock but
// somebody's work queue, and the wait would be for ever. looked remembers that it is a
// lock.
func notGranted(
	ctx context.Context, link *wire.Link, lock wire.Ref, queue string, err error, looked *bool,
) error {
	if wire.Code(err) != amqp.ResourceLocked {
		return wire.Refused(link.Lock.Broker, "claim "+lock.String(), err)
	}
	if !*looked {
		look := func() error { return link.Requests.Look(queue) }
		err := link.Timed(ctx, "look at queue "+queue, look)
		if err == nil {
			return NotALock(queue, link.Lock.Broker)
		}
		*looked = wire.Code(err) != 0
	}
	return fault.ErrBusy
}

// seenHeld reports whether a claim of queue would be refused. It asks only where a
// refusal could end the connection.
func seenHeld(ctx context.Context, link *wire.Link, queue string) bool {
	if !wire.Fragile(link.Lock.Config.Vhost, queue) {
		return false
	}
	missing, err := link.Missing(ctx, queue)
	return err == nil && !missing
}

// prove makes all checks on the slots collected. It asks for the ownership last: while a
// majority does not answer the cluster may be split, and the lock another's on the other
// side. A slot that is gone is dropped from the collection; the error then matches
// fault.ErrBusy.
func (c *claims) prove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	slots := c.held.list()
	list := c.checks()
	c.sent, c.last = c.cfg.clock.Now(), 0
	err := c.ask(ctx, list[1:], slots)
	if err == nil {
		err = c.ask(ctx, list[:1], slots)
	}
	var gone *goneError
	if errors.As(err, &gone) {
		c.held.drop(gone.slot)
		c.giveBack(ctx, gone.slot) // it may still block the slot for others
	}
	return err
}

// checks are those of the checker. One that is alone has to own NAME-B-0 too.
func (c *claims) checks() []check {
	list := c.checker.all(c.ours)
	if c.alone {
		list[0].also = []int{0}
	}
	return list
}

func (c *claims) leaseIsOver() bool {
	end := lease.End(c.sent, c.link.Lock.Config.Heartbeat)
	return c.cfg.clock.Now() >= end-c.cfg.StopTime
}

// isOld reports whether half of the lease is over. Where a broker is that slow, the work
// may not live to see the answer to the next check.
func (c *claims) isOld() bool {
	return c.cfg.clock.Now()-c.sent > c.link.Lock.Config.Heartbeat || c.leaseIsOver()
}

// proveAgain is for what was granted too long ago to be handed out. What it cannot prove
// it gives back.
func (c *claims) proveAgain(ctx context.Context) error {
	err := c.prove(ctx)
	if err == nil && c.leaseIsOver() {
		err = &fault.Error{
			Kind: fault.ErrUnreachable,
			Text: fmt.Sprintf("%s on %s was granted, but the broker takes longer to answer than a "+
				"grant is valid", c.cfg.Ref, c.link.Lock.Broker),
			Hint: "a longer --heartbeat makes a grant valid for longer",
		}
	}
	if err != nil {
		c.putBack(ctx)
	}
	return err
}

// giveBack deletes what was claimed. Where the broker does not answer, it closes the
// connection, which deletes too. It keeps the lock connection of a set, and the slot is
// owed.
//
// It closes in the protocol's way, so that the broker deals with the claim first. When
// a connection breaks while its exclusive declare is under way RabbitMQ deletes the
// queue by its name. By then that may be another's
// (https://github.com/rabbitmq/rabbitmq-server/pull/15276).
func (c *claims) giveBack(ctx context.Context, slot int) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	err := wire.Call(ctx, func() error { return c.link.Requests.Remove(c.cfg.Held(slot)) })
	if err == nil || wire.Code(err) != 0 {
		return
	}
	if c.set == nil {
		c.link.Close()
		return
	}
	c.owed = append(c.owed, slot)
	c.cfg.Debugf("could not give back %s: %v", c.cfg.Describe([]int{slot}), err)
}

// payBack gives back the slots that are owed.
func (c *claims) payBack(ctx context.Context) {
	owed := c.owed
	c.owed = nil
	for _, slot := range owed {
		if !c.set.concerns(slot) {
			c.giveBack(ctx, slot)
		}
	}
}

// putBack gives up what was collected, and sends a hint to the next waiter.
func (c *claims) putBack(ctx context.Context) {
	if c.giveAllBack(ctx) {
		waitq.WakeNext(ctx, c.link, c.cfg.Name)
	}
}

// giveAllBack gives up what was collected, and reports whether that is anything.
func (c *claims) giveAllBack(ctx context.Context) (any bool) {
	if c.alone {
		c.alone = false
		c.giveBack(ctx, 0)
	}
	held := c.held.list()
	for _, slot := range held {
		c.held.drop(slot)
		if !c.link.Lock.IsClosed() { // else it is back already
			c.giveBack(ctx, slot)
		}
	}
	return len(held) > 0
}
