package locker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// preCheck asks a quorum queue on the publish connection before the lock connection
// does.
//
// When the node that leads a quorum queue has died, RabbitMQ (3.10 to 4.3) answers
// basic.get with 541, INTERNAL_ERROR. Healthy nodes do too, and 541 ends the
// connection. It goes on for as long as a channel remembers the leader that is dead.
// That must not hit the lock connection. So the lock connection asks only what the
// publish connection has just been answered. It asks on a channel that is younger than
// the publish connection and remembers nothing.
//
// To ask on the publish connection alone would not do. A load balancer may have led it
// to another node. The node where the lock is held has to be with the majority.
type preCheck struct {
	publish *wire.Conn // nil: it is being opened
	ahead   map[*wire.RequestChannel]*wire.RequestChannel
	// opened is that of the publish connection or, without one, of this pre-check.
	opened time.Time
	// made is when this pre-check was made, or the first of those before that could not ask.
	made     time.Time
	asked    atomic.Bool   // it could: the publish connection was not closed before
	patience time.Duration // with an answer, and with a publish connection that is gone
}

// get reads from a quorum queue, which is always empty, on a channel of the lock
// connection, after the pre-check. An attempt has nothing to lose on that connection
// and makes none.
func (c *checker) get(ctx context.Context, channel *wire.RequestChannel, queue string) error {
	since := time.Time{}
	if s := c.preCheck.Load(); s != nil {
		if _, err := s.ask(ctx, channel, queue); err != nil {
			return err
		}
		since = s.opened
	}
	return wire.Call(ctx, func() error { return channel.Get(since, queue) })
}

// getAhead asks what get asks, and spares the lock connection where the publish
// connection gives an answer. The answer went through the Raft log, so the queue stands.
// It says nothing about the node of the lock connection.
func (c *checker) getAhead(ctx context.Context, channel *wire.RequestChannel, queue string) error {
	if s := c.preCheck.Load(); s != nil {
		if answered, err := s.ask(ctx, channel, queue); answered || err != nil {
			return err
		}
	}
	return c.get(ctx, channel, queue)
}

// openPreCheck makes pre-checks on the publish connection of link from now on. The
// channels of a small set are open by then: else the first question would take several
// times as long as an answer.
func (c *checker) openPreCheck(ctx context.Context, link *wire.Link) error {
	if old := c.preCheck.Load(); old != nil && old.publish == link.Publish() {
		return nil
	}
	next := c.newPreCheck(link, link.Publish())
	var opening errgroup.Group
	for _, behind := range []*wire.RequestChannel{c.majority, c.slots[0]} {
		ahead, used := next.ahead[behind]
		if !used {
			continue
		}
		for _, channel := range []*wire.RequestChannel{behind, ahead} {
			opening.Go(func() error {
				return link.Timed(ctx, "open a channel", func() error {
					return channel.OpenSince(next.opened)
				})
			})
		}
	}
	if err := opening.Wait(); err != nil {
		link.AbortPublish()
		return err
	}
	c.preCheck.Store(next)
	return nil
}

// newPreCheck makes a preCheck on publish. Where publish is nil there is no connection
// until it is open.
//
// The lease of 1.9 heartbeats has to outlast three times the patience. The first is for a
// silent publish connection, the second until the lock connection asks without it, and
// the third for that answer. A check interval and a stop time of more than 0.7 heartbeats
// together shorten the third. From about 1.0 on there is none, and a silent publish
// connection costs the lock. A shorter patience would cost it where answers are slow.
func (c *checker) newPreCheck(link *wire.Link, publish *wire.Conn) *preCheck {
	now := time.Now()
	next := &preCheck{
		publish: publish, opened: now, made: now, patience: link.Lock.Config.Heartbeat * 2 / 5,
	}
	if old := c.preCheck.Load(); old != nil && !old.asked.Load() {
		next.made = old.made
	}
	if publish != nil {
		next.ahead = map[*wire.RequestChannel]*wire.RequestChannel{
			c.majority: wire.NewRequestChannel(publish),
		}
		if c.lock.Kind == wire.Semaphore {
			for _, behind := range c.slots {
				next.ahead[behind] = wire.NewRequestChannel(publish)
			}
		}
	}
	return next
}

// errNoPreCheck proves nothing: to ask might be fatal.
var errNoPreCheck = errors.New("the publish connection is not open")

// ask returns no error when the lock connection may ask too. Either the answer was good,
// or the publish connection gives none, and answered is false. Then the broker is in an
// alarm and does not read from it, or it is gone and does not come back. Without a
// majority check the lease would run out over that.
func (s *preCheck) ask(
	ctx context.Context, behind *wire.RequestChannel, queue string,
) (answered bool, err error) {
	switch {
	case s.publish == nil:
		return false, s.without(s.made)
	case s.publish.IsClosed() && !s.asked.Load():
		return false, s.without(s.made)
	case s.publish.IsClosed():
		<-s.publish.Ended
		return false, s.without(s.publish.EndedAt)
	case s.publish.Blocked():
		return false, nil
	}
	bounded, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err = wire.Call(bounded, func() error { return s.ahead[behind].Get(s.opened, queue) })
	s.asked.Store(true)
	if bounded.Err() != nil && ctx.Err() == nil {
		s.publish.Abort() // a new one may reach a node that answers
	}
	return err == nil, err
}

// without is the answer of a preCheck that has no connection.
func (s *preCheck) without(since time.Time) error {
	if time.Since(since) > s.patience {
		return nil
	}
	return errNoPreCheck
}
