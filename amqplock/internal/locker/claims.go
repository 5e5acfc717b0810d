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

// claim tries to get one slot, and checks at once that the grant means something. A
// contender that was granted the lock in a minority stops here. The checks that do not
// need the grant run beside it. The error matches fault.ErrBusy when the slot is taken.
// The grant and all checks prove the lock from when the claim was sent.
func (a *attempt) claim(ctx context.Context, slot int) (err error) {
	slots := []int{slot}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.ConnectTimeout)
	defer cancel()
	granted := true // or perhaps: only a refusal says that it was not
	sent := a.cfg.clock.Now()
	begun := time.Now()
	besideCtx, stop := context.WithCancel(ctx)
	defer stop()
	beside := make(chan error, 1)
	go func() { beside <- a.ask(besideCtx, a.checker.checks(a.ours)[1:], slots) }()
	queue := a.cfg.Held(slot)
	if err = wire.Call(ctx, func() error { return a.link.Requests.Claim(queue) }); err != nil {
		stop() // whatever they would say: the answer to the claim decides, not who is faster
		granted = wire.Code(err) == 0
		err = notGranted(ctx, a.link, a.cfg.Ref, queue, err, &a.looked)
	}
	if unproven := <-beside; err == nil {
		err = unproven
	}
	if err == nil {
		err = a.lookAgain(ctx, slots)
	}
	switch {
	case err == nil:
		a.held.add(slot)
		a.sent, a.last = sent, slot
		a.cfg.Debugf("granted and checked %s in %s", a.cfg.Describe([]int{slot}), wire.Took(begun))
	case granted:
		a.giveBack(ctx, slot)
	}
	return err
}

// ask makes the checks at the same time. The first that fails ends the others. The lock
// connection of a set is not asked about a new slot, which may be just being removed. See
// checker.checks.
func (a *attempt) ask(ctx context.Context, list []check, slots []int) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, c := range list {
		slots := slots
		if a.set != nil && c.rest != nil { // the first is asked about on the lock connection
			lowest := slices.Min(slices.Concat(a.set.list(), slots))
			slots = slices.Concat([]int{lowest}, slots)
		}
		all.Go(func() error { return explain(a.link, a.cfg.Ref, c, slots, c.run(ctx, slots)) })
	}
	return all.Wait()
}

// lookAgain asks about each slot once more, after the grant and the proof of a majority.
// The claim of another that died with its connection may take the queue away in the first
// milliseconds, see giveBack. The cluster may have been split until the majority
// answered. And a drain may have removed the slot between its check and the grant.
func (a *attempt) lookAgain(ctx context.Context, slots []int) error {
	list := slices.DeleteFunc(a.checker.checks(a.ours), func(c check) bool { return !c.each })
	return a.ask(ctx, list, slots)
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
func (a *attempt) prove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.ConnectTimeout)
	defer cancel()
	slots := a.held.list()
	list := a.checks()
	a.sent, a.last = a.cfg.clock.Now(), 0
	err := a.ask(ctx, list[1:], slots)
	if err == nil {
		err = a.ask(ctx, list[:1], slots)
	}
	var gone *goneError
	if errors.As(err, &gone) {
		a.held.drop(gone.slot)
		a.giveBack(ctx, gone.slot) // it may still block the slot for others
	}
	return err
}

// checks are those of the checker. One that is alone has to own NAME-B-0 too.
func (a *attempt) checks() []check {
	list := a.checker.checks(a.ours)
	if a.alone {
		list[0].also = []int{0}
	}
	return list
}

func (a *attempt) leaseIsOver() bool {
	end := lease.End(a.sent, a.link.Lock.Config.Heartbeat)
	return a.cfg.clock.Now() >= end-a.cfg.StopTime
}

// proveAgain is for what was granted too long ago to be handed out. What it cannot prove
// it gives back.
func (a *attempt) proveAgain(ctx context.Context) error {
	err := a.prove(ctx)
	if err == nil && a.leaseIsOver() {
		err = &fault.Error{
			Kind: fault.ErrUnreachable,
			Text: fmt.Sprintf("%s on %s was granted, but the broker takes longer to answer than a "+
				"grant is valid", a.cfg.Ref, a.link.Lock.Broker),
			Hint: "a longer --heartbeat makes a grant valid for longer",
		}
	}
	if err != nil {
		a.putBack(ctx)
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
func (a *attempt) giveBack(ctx context.Context, slot int) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.ConnectTimeout)
	defer cancel()
	err := wire.Call(ctx, func() error { return a.link.Requests.Remove(a.cfg.Held(slot)) })
	if err == nil || wire.Code(err) != 0 {
		return
	}
	if a.set == nil {
		a.link.Close()
		return
	}
	a.owed = append(a.owed, slot)
	a.cfg.Debugf("could not give back %s: %v", a.cfg.Describe([]int{slot}), err)
}

// payBack gives back the slots that are owed.
func (a *attempt) payBack(ctx context.Context) {
	owed := a.owed
	a.owed = nil
	for _, slot := range owed {
		if !a.set.concerns(slot) {
			a.giveBack(ctx, slot)
		}
	}
}

// putBack gives up what was collected, and sends a hint to the next waiter.
func (a *attempt) putBack(ctx context.Context) {
	if a.giveAllBack(ctx) {
		waitq.WakeNext(ctx, a.link, a.cfg.Name)
	}
}

// giveAllBack gives up what was collected, and reports whether that is anything.
func (a *attempt) giveAllBack(ctx context.Context) (any bool) {
	if a.alone {
		a.alone = false
		a.giveBack(ctx, 0)
	}
	held := a.held.list()
	for _, slot := range held {
		a.held.drop(slot)
		if !a.link.Lock.IsClosed() { // else it is back already
			a.giveBack(ctx, slot)
		}
	}
	return len(held) > 0
}
