package locker

import (
	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// newSetAttempt makes an attempt to extend an elastic set, over its lock connection.
func newSetAttempt(k *keeper) *attempt {
	return &attempt{claims: &claims{
		cfg: k.cfg, link: k.link.Sibling(), checker: k.checker, held: &collection{},
		set: k.held, looked: true,
	}}
}

// grow takes slots that come free, for an elastic set, until its checks are stopped. It
// waits in the wait queue like everyone who wants one, over a publish connection of its
// own.
func grow(k *keeper) {
	more := newSetAttempt(k)
	defer more.link.AbortPublish()
	waiter := &waitq.Waiter{
		Queue: waitq.Queue{
			Lock: k.cfg.Ref, Link: more.link, Priority: k.cfg.Priority, Look: k.cfg.look,
		},
		Try: more.try, PutBack: more.putBack, Retry: k.cfg.retry,
	}
	for k.checking.Err() == nil {
		err := waiter.Wait(k.checking, fault.ErrBusy)
		for _, slot := range more.held.list() {
			more.held.drop(slot)
			k.held.add(slot)
			k.changed("got slot %d too", slot)
		}
		if err == nil {
			waiter.Left(k.checking)
			more.link.ClosePublish()
		}
		more.link.AbortPublish() // and the place in the queue with it
		if err != nil {
			_ = wire.Pause(k.checking, waitq.LastRetry)
		}
	}
}
