package amqplock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

// claim tries to get one slot, and checks at once that the grant means something: a contender that was granted the lock in a minority stops
// here. The checks that do not need the grant run beside it. The error matches errBusy when the slot is somebody else's.
//
// It returns when it began: the grant and all checks prove the lock from then on.
func (s *session) claim(ctx context.Context, slot int, ours bool) (sent time.Duration, err error) {
	list := s.checks(ours)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	granted := true // or perhaps: only a refusal says that it was not
	sent = s.cfg.clock.Now()
	begun := time.Now()
	besideCtx, stop := context.WithCancel(ctx)
	defer stop()
	var beside errgroup.Group
	for _, c := range list[1:] {
		beside.Go(func() error { return s.explain(c, []int{slot}, c.run(besideCtx, []int{slot})) })
	}
	if err = call(ctx, func() error { return s.own.claim(s.queue(slot)) }); err != nil {
		stop() // whatever they would say: the answer to the claim decides, not who is faster
		granted = code(err) == 0
		err = s.notGranted(ctx, s.queue(slot), err)
	}
	if unproven := beside.Wait(); err == nil {
		err = unproven
	}
	if err == nil { // once more: the claim of another that died with its connection may take the queue away in the first milliseconds, see giveBack
		err = s.explain(list[0], []int{slot}, list[0].run(ctx, []int{slot}))
	}
	switch {
	case err == nil:
		s.cfg.Logf("granted and checked %s in %s", s.describe([]int{slot}), took(begun))
	case granted:
		s.giveBack(ctx, []int{slot})
	}
	return sent, err
}

// explain says what was being checked when the broker did not answer well.
func (s *session) explain(c check, slots []int, err error) error {
	return refused(s.hold.broker, fmt.Sprintf("make the %s of %s", c.name, s.describe(slots)), err)
}

// notGranted explains why the exclusive declare failed. 405 is the answer also where the queue is not exclusive at all: then it is no lock
// but somebody's work queue, and waiting would be for ever.
func (s *session) notGranted(ctx context.Context, queue string, err error) error {
	if code(err) != amqp.ResourceLocked {
		return refused(s.hold.broker, "claim "+s.lockName(), err)
	}
	if !s.looked {
		if err := call(ctx, func() error { return s.own.look(queue) }); err == nil {
			return notALock(queue, s.hold.broker)
		}
		s.looked = true
	}
	return errBusy
}

// giveBack deletes what was claimed. Where the broker does not answer the connection is closed, which does it too, unless it holds a lock that
// somebody relies on: then the end of that lock does it.
//
// It is closed in the protocol's way, so that the broker deals with the claim first: when a connection breaks while its exclusive declare is under
// way RabbitMQ deletes the queue by its name, even if it is another's by then (https://github.com/rabbitmq/rabbitmq-server/pull/15276).
func (s *session) giveBack(ctx context.Context, slots []int) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	for _, slot := range slots {
		err := call(ctx, func() error { return s.own.remove(s.queue(slot)) })
		if err == nil || code(err) != 0 {
			continue
		}
		if s.granted {
			s.cfg.Logf("could not give back %s: %v", s.describe(slots), err)
		} else {
			s.farewell()
		}
		return
	}
}

// collection is the slots that one party holds. It changes only while they are collected, and with Config.Elastic.
type collection struct {
	mu    sync.Mutex
	slots []int // ascending
}

func (c *collection) list() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.slots)
}

func (c *collection) add(slot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearch(c.slots, slot)
	c.slots = slices.Insert(c.slots, i, slot)
}

// drop tells how many are left, and whether slot was one of them.
func (c *collection) drop(slot int) (left int, was bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, was := slices.BinarySearch(c.slots, slot)
	if was {
		c.slots = slices.Delete(c.slots, i, i+1)
	}
	return len(c.slots), was
}

// prove runs all checks on the slots collected, at the same time, and returns when it began. A slot that is gone is dropped from the
// collection; the error then matches errBusy.
func (s *session) prove(ctx context.Context, c *collection, ours bool) (sent time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	slots, sent := c.list(), s.cfg.clock.Now()
	var all errgroup.Group
	for _, check := range s.checks(ours) {
		all.Go(func() error { return s.explain(check, slots, check.run(ctx, slots)) })
	}
	err = all.Wait()
	var gone *goneError
	if errors.As(err, &gone) {
		s.giveBack(ctx, []int{gone.slot}) // it may still block the slot for others
		c.drop(gone.slot)
	}
	return sent, err
}

func (s *session) leaseIsOver(sent time.Duration) bool {
	return s.cfg.clock.Now() >= leaseEnd(sent, s.hold.Config.Heartbeat)-s.cfg.StopTime
}

// proveAgain is for what was granted too long ago to be handed out. What it cannot prove it gives back.
func (s *session) proveAgain(ctx context.Context, ours bool) (sent time.Duration, err error) {
	sent, err = s.prove(ctx, &s.held, ours)
	if err == nil && s.leaseIsOver(sent) {
		err = &Error{
			Kind: ErrUnreachable,
			Text: fmt.Sprintf("%s on %s was granted, but the broker takes longer to answer than its grant is good for", s.lockName(), s.hold.broker),
		}
	}
	if err != nil {
		s.putBack(ctx)
	}
	return sent, err
}
