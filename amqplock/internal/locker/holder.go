package locker

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Holder is a lock that the broker has granted. It is checked until Release.
type Holder struct {
	*keeper
	who        *presence.Participant
	log        *recorder
	ours       bool           // see attempt
	publishing sync.WaitGroup // what uses the publish connection, and ends with the checks
	following  sync.WaitGroup
	unfollow   context.CancelFunc // ends following
	will       will
	ending     atomic.Pointer[Ending]
	released   sync.Once
	releaseErr error
}

// newHolder makes a Holder of what c has claimed.
func newHolder(c *contender) (*Holder, error) {
	k, err := newKeeper(c.attempt)
	if err != nil {
		return nil, err
	}
	h := &Holder{keeper: k, who: c.who, log: c.log, ours: c.ours}
	h.ending.Store(&Ending{})
	if c.cfg.History && !c.cfg.Fence {
		h.log.begin()
		h.log.holds(h.Slots())
	}
	if !c.cfg.Elastic {
		c.link.PublishHeartbeat = max(c.cfg.Heartbeat, holderHeartbeat)
	}
	h.who.Holds(presence.Holding{
		Slots: h.Slots, Elastic: c.cfg.Elastic,
		Evict: func(reason error) { h.lose(h.String(), reason) },
	})
	if c.size > 0 {
		c.compareSize() // before the work prints anything
	}
	h.follow()
	h.publishing.Go(func() {
		if c.size == 0 {
			c.compareSize() // the work does not wait for an answer
		}
		h.prepare()
	})
	c.cfg.Debugf("acquired %s", h)
	return h, nil
}

// holderHeartbeat, RabbitMQ's own choice, is for a publish connection without a place
// in the wait queue. The quorum pre-checks find out much sooner that it is dead. A
// quick heartbeat ticks at other instants than that of the lock connection. That would
// be a quarter of the cost of an idle holder.
const holderHeartbeat = time.Minute

// Slots are the numbers of the slots held, ascending, from 1; for a mutex the one number
// 0.
func (h *Holder) Slots() []int { return h.held.list() }

// Token is the fencing token, 0 without Config.Fence.
func (h *Holder) Token() int64 { return h.log.token }

// Node is the broker that has granted the lock.
func (h *Holder) Node() string { return h.link.Lock.Broker }

// Context ends when the lock is lost, with a *fault.Error as its cause, and when it is
// released.
func (h *Holder) Context() context.Context { return h.ctx }

// TTL is the time until Until.
func (h *Holder) TTL() time.Duration { return max(h.Until()-h.cfg.clock.Now(), 0) }

// Until is the instant before which all work under the lock must have ended unless the
// lease is renewed. StopAt is when Context ends then.
func (h *Holder) Until() time.Duration  { return h.lease.Until() }
func (h *Holder) StopAt() time.Duration { return h.lease.StopAt() }

// Socket is the socket of the lock connection. As long as any process has it open, and
// for less than the lease, the lock stays. It is nil when Broker.Dial made something that
// is no socket.
func (h *Holder) Socket() syscall.Conn {
	socket, _ := h.link.Lock.Socket.(syscall.Conn)
	return socket
}

// SetEnding says how the work has ended, for the history.
func (h *Holder) SetEnding(e Ending) { h.ending.Store(&e) }

// Release gives the lock back. amqplock.Lock.Release documents it.
func (h *Holder) Release(ctx context.Context) error {
	h.released.Do(func() { h.releaseErr = h.release(ctx) })
	return h.releaseErr
}

func (h *Holder) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.ConnectTimeout)
	defer cancel()
	h.stop()
	h.expiry.Stop()
	h.expire() // what the alarm has not reported yet
	h.publishing.Wait()
	h.stopFollowing()
	err := context.Cause(h.ctx)
	h.log.end(ctx, h.link, *h.ending.Load(), err != nil)
	if err == nil {
		if err = h.handBack(ctx); err != nil { // lost after all
			h.log.end(ctx, h.link, Ending{}, true)
		}
	}
	if h.cfg.Elastic { // perhaps it was claiming one more slot: see attempt.giveBack
		h.link.Close()
	}
	h.link.Abort() // ends the calls that hang, and with them the background
	h.background.Wait()
	h.who.Wait()
	h.end(nil)
	return err
}

// handBack looks once more whether the lock is held, deletes its queues and sends a hint
// to the next waiter. The deletion is awaited before anything else: since RabbitMQ 4.2
// the end of a connection alone frees its queues some time later.
func (h *Holder) handBack(ctx context.Context) error {
	begun := time.Now()
	if h.link.Lock.IsClosed() {
		h.connectionEnded()
		return context.Cause(h.ctx)
	}
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
			stepAside(ctx)
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
func (h *Holder) delete(ctx context.Context, waitQueue string) (waited bool, err error) {
	for {
		var stand, queues []string
		slots := h.Slots()
		if h.cfg.Count == All {
			queues = append(queues, h.cfg.Held(0))
		}
		for _, slot := range slots {
			queues = append(queues, h.cfg.Held(slot))
			if h.cfg.Kind == wire.Semaphore {
				stand = append(stand, wire.SlotQueue(h.cfg.Name, slot))
			}
		}
		err := wire.Call(ctx, func() error { return h.link.Requests.HandBack(stand, queues, waitQueue) })
		switch {
		case err == nil:
			return false, nil
		case waitQueue != "" && inUse(err, waitQueue): // which comes last: the rest has been done
			return true, nil
		case wire.Code(err) == 0 || h.link.Lock.IsClosed(): // perhaps before the work had ended
			select {
			case <-h.link.Lock.Ended:
				h.connectionEnded()
			case <-ctx.Done():
			}
			return false, err
		}
		if wire.Ownership(err) == wire.Lost { // of which queue, the text of a long name does not say
			_ = h.check(ctx, 0, h.checks[0])
			h.checkStand(ctx)
		}
		if h.ctx.Err() != nil || len(h.Slots()) == len(slots) {
			return false, err
		}
	}
}

// checkStand looks whether the slots held still exist. Unlike the slot check it proves no
// majority, and it is safe for a slot that is just being removed, see
// wire.RequestChannel.AwaitRemoval.
func (h *Holder) checkStand(ctx context.Context) {
	if h.cfg.Kind == wire.Mutex {
		return
	}
	for _, slot := range h.Slots() {
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

func stepAside(ctx context.Context) {
	select {
	case <-time.After(aside):
	case <-ctx.Done():
	}
}

// inUse recognises the answer that queue was not deleted. The broker may cut off the
// name.
func inUse(err error, queue string) bool {
	return wire.Code(err) == amqp.PreconditionFailed || wire.Concerns(err, queue)
}
