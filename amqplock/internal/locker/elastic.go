package locker

import (
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// grow takes slots that come free, for an elastic set. It stands in the wait queue like everyone
// who wants one, over a publish connection of its own.
func (h *Holder) grow() {
	more := newSetAttempt(h.keeper)
	defer more.link.AbortPublish()
	waiter := &waitq.Waiter{
		Lock: h.cfg.Ref, Link: more.link, Try: more.try, PutBack: more.putBack, Retry: h.cfg.retry,
	}
	for h.checking.Err() == nil {
		err := waiter.Wait(h.checking, fault.ErrBusy)
		for _, slot := range more.held.list() {
			more.held.drop(slot)
			h.held.add(slot)
			h.changed("got slot %d too", slot)
		}
		if err == nil {
			waiter.Left(h.checking)
			more.link.ClosePublish()
		}
		more.link.AbortPublish() // and the place in the queue with it
		if err != nil {
			select {
			case <-time.After(waitq.LastRetry):
			case <-h.checking.Done():
			}
		}
	}
}

// watchSlots consumes the slots' queues while the lock is held. The broker notifies a consumer that
// its queue is being deleted; without that the next check in turn finds out. What arrives are
// probes, of no interest.
func (h *Holder) watchSlots() {
	w, err := newSlotWatch(h.checking, h.link.Lock, h.cfg)
	if err != nil {
		return
	}
	defer w.channel.Close()
	var again <-chan time.Time
	if h.cfg.Elastic { // then there are new slots
		ticker := time.NewTicker(h.cfg.CheckInterval)
		defer ticker.Stop()
		again = ticker.C
	}
	for {
		if err := w.follow(h.checking, h.Slots()); err != nil {
			h.cfg.Debugf("the checks alone will find the removal of a slot: %v", err)
			return
		}
		select {
		case tag, ok := <-w.removed:
			if !ok {
				return
			}
			h.verifyRemoval(w.forget(tag))
		case <-again:
		case <-h.checking.Done():
			return
		}
	}
}

// verifyRemoval looks whether a slot is gone whose queue, by the broker's notice, is being deleted.
// It may also have moved to another node.
func (h *Holder) verifyRemoval(slot int) {
	if !h.held.concerns(slot) {
		return
	}
	queue := wire.SlotQueue(h.cfg.Name, slot)
	err := wire.Call(h.checking, func() error { return h.checker.slots.AwaitRemoval(queue) })
	if wire.SlotStands(err) == wire.Lost {
		h.survive(h.checking, &goneError{slot: slot, check: slotCheck, err: err})
	}
}
