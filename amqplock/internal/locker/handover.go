package locker

import (
	"context"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// handover gives the lock to the next waiter: at once when the work has ended, and soon
// after a crash.
type handover struct {
	*keeper
	publishing sync.WaitGroup     // what uses the publish connection, and ends with the checks
	preparing  context.Context    // for preparations that may outlast the checks
	hurry      context.CancelFunc // ends preparing
	will       will
}

func newHandover(k *keeper) handover {
	preparing, hurry := context.WithCancel(context.Background())
	return handover{keeper: k, preparing: preparing, hurry: hurry}
}

// finish blocks until nothing uses the publish connection. The end of ctx hurries that.
func (h *handover) finish(ctx context.Context) {
	defer context.AfterFunc(ctx, h.hurry)()
	h.publishing.Wait()
	h.hurry()
}

// prepare makes the hand-over fast. It is not needed for correctness, so a failure is
// only logged. A short command does not pay for it. It opens the publish connection for
// the hand-over, arms the last will, and subscribes to the notice of removed slots.
func (h *handover) prepare() {
	if h.link.Publish() != nil { // others may wait: the hint shall not wait for its channel
		_ = h.link.OpenProber(h.checking)
	}
	if wire.Pause(h.checking, presence.Delay) != nil {
		return
	}
	if h.cfg.Elastic {
		h.publishing.Go(func() { grow(h.keeper) })
	}
	again := wire.Pace(100*time.Millisecond, time.Second)
	var watched *wire.Conn
	for {
		pause, ended := h.cfg.rearm, make(<-chan struct{})
		err := h.link.OpenPublish(h.checking)
		if conn := h.link.Publish(); err == nil && conn != watched && h.cfg.Kind == wire.Semaphore {
			h.background.Go(func() { watchSlots(h.keeper, conn) })
			watched = conn
		}
		if err == nil {
			err = h.checker.openPreCheck(h.checking, h.link)
		}
		if err == nil {
			ended = h.link.Publish().Ended
			_ = h.link.OpenProber(h.checking) // for the hint to the next, which can do without
			err = h.armWill()
		} else {
			pause = again.NextBackOff()
		}
		if err != nil && h.checking.Err() == nil {
			h.cfg.Debugf("waiters would notice a crash of this run late: %v", err)
		}
		select {
		case <-time.After(pause):
			continue
		case <-ended:
			if h.checker.silence.begun.Load() != nil { // its node may be cut off
				h.link.Broker.Skip()
			}
		case <-h.checking.Done():
			return
		}
		if wire.Pause(h.checking, again.NextBackOff()) != nil {
			return
		}
	}
}

// armWill returns early when the checks are stopped. What it leaves behind counts as
// background before Release waits for that: it may still start the consumer.
func (h *handover) armWill() error {
	messages, armed := h.link.Messages(), make(chan error, 1)
	h.background.Go(func() {
		armed <- h.will.arm(h.link.Lock, messages, h.cfg.Name, &h.background)
	})
	select {
	case err := <-armed:
		return err
	case <-h.checking.Done():
		return context.Cause(h.checking)
	}
}

// handBack looks once more whether the lock is held, deletes its queues and sends a hint
// to the next waiter. The deletion is awaited before anything else: since RabbitMQ 4.2
// the end of a connection alone frees its queues some time later.
func (h *handover) handBack(ctx context.Context) error {
	begun := time.Now()
	h.will.revoke()
	h.checker.preCheck.Store(nil) // the work has ended: no answer can hurt
	queue := ""
	if !h.link.Probes() { // then a hint costs something: see first whether somebody waits
		queue = wire.WaitQueue(h.cfg.Name)
	}
	waited, err := h.delete(ctx, queue)
	switch {
	case context.Cause(h.ctx) != nil:
		return context.Cause(h.ctx)
	case err != nil:
		h.cfg.Debugf("could not delete the queue of %s, the end of the connection frees it: %v", h, err)
		return nil
	}
	h.cfg.Debugf("released %s in %s", h, wire.Took(begun))
	if queue == "" || waited {
		if waitq.WakeNext(ctx, h.link, h.cfg.Name) {
			_ = wire.Pause(ctx, aside)
		}
	}
	h.link.Close()
	return nil
}

// delete looks whether all queues are ours and all slots stand, and deletes the queues.
// Otherwise it ends the lock, unless the set is elastic and others are left. It reports
// whether somebody stands in the wait queue.
//
// The slots are looked at before the deletion: once a slot is free a drain may remove it.
func (h *handover) delete(ctx context.Context, waitQueue string) (waited bool, err error) {
	for mayLook := h.cfg.Kind == wire.Semaphore; ; {
		var stand, queues []string
		slots := h.held.list()
		if h.cfg.Count == All {
			queues = append(queues, h.cfg.Held(0))
		}
		for _, slot := range slots {
			queues = append(queues, h.cfg.Held(slot))
			if mayLook {
				stand = append(stand, wire.SlotQueue(h.cfg.Name, slot))
			}
		}
		err := wire.Call(ctx, func() error { return h.link.Requests.HandBack(stand, queues, waitQueue) })
		switch {
		case err == nil:
			return false, nil
		case waitQueue != "" && inUse(err, waitQueue): // which comes last: the rest has been done
			return true, nil
		case wire.Code(err) == 0 || h.link.Lock.IsClosed(): // the work had ended before
			return false, err
		case wire.Code(err) == amqp.AccessRefused && mayLook && waitQueue == "":
			mayLook = false // RabbitMQ 4.2.6 and 4.3.0 want configure for it, which holders do not need
			continue
		}
		if wire.Ownership(err) == wire.Lost { // of which queue, the text of a long name does not say
			_ = h.check(ctx, 0, h.checks[0])
			h.checkStand(ctx)
		}
		if h.ctx.Err() != nil || len(h.held.list()) == len(slots) {
			return false, err
		}
	}
}

// checkStand looks whether the slots held still exist. Unlike the slot check it proves no
// majority, and it is safe for a slot that is just being removed, see
// wire.RequestChannel.AwaitRemoval.
func (h *handover) checkStand(ctx context.Context) {
	if h.cfg.Kind == wire.Mutex {
		return
	}
	for _, slot := range h.held.list() {
		queue := wire.SlotQueue(h.cfg.Name, slot)
		err := wire.Call(ctx, func() error { return h.checker.slots[0].Look(queue) })
		if wire.SlotStands(err) == wire.Lost {
			h.survive(ctx, &goneError{slot: slot, check: slotCheck, err: err})
		}
	}
}

// aside is how long a releaser leaves the broker, and the processors, to the next in
// the wait queue. It is about as long as it takes to claim the lock and start a
// command. The end of two connections, and of what they have declared, would make that
// half as long again.
const aside = 5 * time.Millisecond

// inUse recognises the answer that queue was not deleted, which may be on a node that is
// down. The broker may cut off the name. A 404 about an own queue says that it is absent.
func inUse(err error, queue string) bool {
	return wire.Code(err) == amqp.PreconditionFailed || wire.Concerns(err, queue) ||
		wire.Code(err) == amqp.NotFound && !wire.Absent(err)
}
