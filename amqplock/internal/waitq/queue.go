package waitq

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Queue is the wait queue of a lock, and where a waiter stands in it. The exported fields
// are set before use.
type Queue struct {
	Lock wire.Ref
	Link *wire.Link // its publish connection stands in the queue
	// Priority is that among waiters, the highest first.
	Priority int
	// The participant Who answers other waiters for us. It may be nil.
	Who  *presence.Participant
	Look time.Duration // between two looks of the second in the queue

	first bool // in the queue
	ahead int  // how many in the queue are to be served before us
	rank  rank

	free  bool // the newest look behind the first has found it so
	slots int  // how many it has seen
}

// open declares the queue and returns the channel to join it with. It returns nil where
// there can be no queue (no permission, a policy, no connection): then the slow retry
// is all there is. q.ahead is how many wait in it.
func (q *Queue) open(ctx context.Context) *amqp.Channel {
	q.ahead = 0
	channel, err := (*wire.Channel)(nil), q.Link.OpenPublish(ctx)
	if err == nil {
		publish, messages := q.Link.Publish(), q.Link.Messages()
		channel, err = wire.TimedFor(ctx, q.Link, "open the wait queue",
			func(ctx context.Context) (*wire.Channel, error) {
				if err := messages.Open(); err != nil { // for the hint on leaving the queue
					return nil, err
				}
				return wire.OpenChannel(ctx, publish)
			})
	}
	if err == nil {
		q.ahead, err = wire.TimedFor(ctx, q.Link, "declare the wait queue",
			func(ctx context.Context) (int, error) {
				return wire.CallOn(ctx, channel, func() (int, error) {
					return Declare(channel.Channel, q.Lock.Name)
				})
			})
		if err != nil {
			channel.CloseLater()
		}
	}
	if err != nil {
		q.Link.Broker.Debugf("no wait queue: %v", err)
		return nil
	}
	return channel.Channel
}

// join takes the place in the queue; nil where there is no queue.
func (q *Queue) join(ctx context.Context, channel *amqp.Channel) (*Place, error) {
	if channel == nil {
		return nil, nil
	}
	type joined struct {
		*Place
		n int
	}
	all, err := wire.TimedFor(ctx, q.Link, "join the wait queue",
		func(context.Context) (joined, error) {
			place, err := join(channel, q.Lock.Name, newcomer(q.Priority))
			if err != nil {
				return joined{}, err
			}
			n, err := Declare(channel, q.Lock.Name)    // of those who came with us nobody was there before
			if err == nil && n > 1 && q.Priority > 0 { // as most of the others have 0
				err = place.announce(q.Lock.Name, q.Priority)
			}
			return joined{place, n}, err
		})
	if err == nil {
		q.ahead = max(all.n-1, 0)
		q.rank = rank{came: q.ahead, at: time.Now(), unknown: true, mute: q.rank.mute}
	}
	if err != nil && wire.Code(err) == 0 {
		q.Link.AbortPublish() // or we may join yet, and nobody would heed the hints that come
	}
	if err != nil && ctx.Err() == nil {
		q.Link.Broker.Debugf("no place in the wait queue: %v", err)
	}
	return all.Place, err
}

// countAhead asks how many stand in the queue, and of which priority.
func (q *Queue) countAhead(ctx context.Context, place *Place, patience time.Duration) {
	if q.first || q.behind() == 0 && !q.rank.stepped {
		return
	}
	n, err := wire.TimedFor(ctx, q.Link, "look at the wait queue", func(context.Context) (int, error) {
		return Declare(place.channel, q.Lock.Name)
	})
	if err == nil {
		q.update(ctx, place, max(n-1, 0), patience)
	}
}

// update finds out our rank among others who stand in the queue. Only those answer who
// have another priority than 0, so it costs next to nothing where nobody has.
func (q *Queue) update(ctx context.Context, place *Place, others int, patience time.Duration) {
	q.rank.unknown = false
	publish := q.Link.Publish()
	if publish == nil || publish.IsClosed() || publish.Blocked() {
		return
	}
	var rivals []presence.Answer
	if !q.rank.mute && others > 0 {
		all, err := presence.AskPatiently(ctx, q.Link, presence.RankedKey(q.Lock), patience)
		if err != nil {
			q.rank.mute = wire.Code(err) == amqp.AccessRefused
			q.Link.Broker.Debugf("the priorities of others are not known: %v", err)
		}
		for _, a := range all {
			if a.InQueue && len(a.Slots) == 0 && a.Lock() == q.Lock && !q.Who.Is(a) {
				rivals = append(rivals, a)
			}
		}
	}
	q.rank.came = min(q.rank.came, others)
	q.ahead = min(q.rank.among(q.Priority, others, rivals), others)
	if q.ahead == 0 && q.rank.lower { // and still not the first
		_ = place.announce(q.Lock.Name, q.Priority)
	}
}

// behind is ahead, and one more if the first in the queue may be one that should step
// back for us.
func (q *Queue) behind() int {
	if q.rank.lower {
		return q.ahead + 1
	}
	return q.ahead
}

// stepBack takes another place, behind those of a higher priority, and then leaves the
// one that it has. The hint goes to the first of them.
func (q *Queue) stepBack(ctx context.Context, place *Place) (*Place, error) {
	q.first, q.rank.unknown, q.rank.stepped = false, true, true
	q.ahead = max(q.ahead, 1)
	if err := q.Link.OpenPublish(ctx); err != nil {
		return nil, err
	}
	publish := q.Link.Publish()
	return wire.TimedFor(ctx, q.Link, "step back in the wait queue",
		func(context.Context) (*Place, error) {
			channel, err := publish.Channel()
			if err != nil {
				return nil, err
			}
			next, err := join(channel, q.Lock.Name, steppedBack(q.Priority))
			if err == nil {
				err = place.leave()
			}
			return next, err
		})
}

// nudge has the first in the queue try: one of those behind it would overtake it by a try
// of its own. It reports whether that can work: the broker has taken the hint, and is in
// no alarm.
func (q *Queue) nudge(ctx context.Context) bool {
	missing, sure := q.Link.MissingNow(ctx, wire.WaitQueue(q.Lock.Name)) // the question is a hint
	return sure && !missing
}
