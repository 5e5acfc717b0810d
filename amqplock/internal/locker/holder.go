package locker

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Holder is a lock that the broker has granted. It is checked until Release.
type Holder struct {
	handover
	who        *presence.Participant
	log        *recorder
	token      int64
	ours       bool // see claims
	following  *following
	ending     atomic.Pointer[Ending]
	evicted    atomic.Pointer[error] // by whom; perhaps after another loss, see CutOff
	released   sync.Once
	releaseErr error
}

func newHolder(c *contender) (*Holder, error) {
	k, err := newKeeper(c.claims)
	if err != nil {
		return nil, err
	}
	h := &Holder{handover: newHandover(k), who: c.who, log: c.log, token: c.log.token, ours: c.ours}
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
		Evict: func(reason error) {
			h.evicted.Store(&reason)
			h.lose(h.String(), reason)
		},
	})
	if c.size > 0 {
		c.compareSize(h.preparing) // before the work prints anything
	}
	h.following = follow(h.keeper, h.log)
	h.publishing.Go(func() {
		if c.size == 0 {
			c.compareSize(h.preparing) // the work does not wait for an answer
		}
		h.log.prepare(h.preparing, h.link) // also if the work ends meanwhile
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
func (h *Holder) Token() int64 { return h.token }

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
	// The alarm and watch may not have reported these yet. The work has ended, so a
	// connection that ends from now on is no loss.
	h.expire()
	if h.link.Lock.IsClosed() {
		h.connectionEnded()
	}
	h.finish(ctx)
	h.following.close()
	err := context.Cause(h.ctx)
	h.log.end(ctx, h.link, *h.ending.Load(), err != nil)
	if err == nil {
		if err = h.handBack(ctx); err != nil { // lost after all
			h.log.end(ctx, h.link, Ending{}, true)
		}
	}
	if err != nil {
		confirm(ctx, h.who, h.link)
	}
	if h.cfg.Elastic { // perhaps it was claiming one more slot: see claims.giveBack
		h.link.Close()
	}
	h.link.Abort() // ends the calls that hang, and with them the background
	h.background.Wait()
	h.who.Wait()
	h.end(nil)
	return err
}

// confirm lets the answer to an eviction reach the broker: to abort the connection could
// take it back.
func confirm(ctx context.Context, who *presence.Participant, link *wire.Link) {
	ctx, cancel := context.WithTimeout(ctx, wire.CloseTime)
	defer cancel()
	if who.Confirmed(ctx) {
		link.ClosePublish()
	}
}
