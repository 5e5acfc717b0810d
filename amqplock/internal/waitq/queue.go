package waitq

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// open declares the queue and returns the channel to join it with. It returns nil where
// there can be no queue (no permission, a policy, no connection): then the slow retry
// is all there is. w.ahead is how many wait in it.
func (w *Waiter) open(ctx context.Context) *amqp.Channel {
	w.ahead = 0
	channel, err := (*amqp.Channel)(nil), w.Link.OpenPublish(ctx)
	if err == nil {
		publish, messages := w.Link.Publish().Connection, w.Link.Messages()
		channel, err = wire.TimedFor(ctx, w.Link, "open the wait queue",
			func(context.Context) (*amqp.Channel, error) {
				channel, err := publish.Channel()
				if err == nil {
					err = messages.Open() // for the hint on leaving the queue
				}
				return channel, err
			})
	}
	if err == nil {
		w.ahead, err = wire.TimedFor(ctx, w.Link, "declare the wait queue",
			func(context.Context) (int, error) { return Declare(channel, w.Lock.Name) })
	}
	if err != nil {
		w.Link.Broker.Debugf("no wait queue: %v", err)
		return nil
	}
	return channel
}

// join takes the place in the queue; nil where there is no queue.
func (w *Waiter) join(ctx context.Context, channel *amqp.Channel) (*Place, error) {
	if channel == nil {
		w.joined(false)
		return nil, nil
	}
	type joined struct {
		*Place
		n int
	}
	all, err := wire.TimedFor(ctx, w.Link, "join the wait queue",
		func(context.Context) (joined, error) {
			place, err := join(channel, w.Lock.Name, newcomer(w.Priority))
			if err != nil {
				return joined{}, err
			}
			n, err := Declare(channel, w.Lock.Name)    // of those who came with us nobody was there before
			if err == nil && n > 1 && w.Priority > 0 { // as most of the others have 0
				err = place.announce(w.Lock.Name, w.Priority)
			}
			return joined{place, n}, err
		})
	if err == nil {
		w.ahead = max(all.n-1, 0)
		w.rank = rank{came: w.ahead, at: time.Now(), unknown: true, mute: w.rank.mute}
	}
	w.joined(err == nil)
	if err != nil && wire.Code(err) == 0 {
		w.Link.AbortPublish() // or we may join yet, and nobody would heed the hints that come
	}
	if err != nil && ctx.Err() == nil {
		w.Link.Broker.Debugf("no place in the wait queue: %v", err)
	}
	return all.Place, err
}

// moveUp asks how many stand in the queue, and of which priority.
func (w *Waiter) moveUp(ctx context.Context, place *Place, patience time.Duration) {
	if w.first || w.behind() == 0 && !w.rank.stepped {
		return
	}
	n, err := wire.TimedFor(ctx, w.Link, "look at the wait queue", func(context.Context) (int, error) {
		return Declare(place.channel, w.Lock.Name)
	})
	if err == nil {
		w.update(ctx, place, max(n-1, 0), patience)
	}
}

// update finds out our rank among others who stand in the queue. Only those answer who
// have another priority than 0, so it costs next to nothing where nobody has.
func (w *Waiter) update(ctx context.Context, place *Place, others int, patience time.Duration) {
	w.rank.unknown = false
	publish := w.Link.Publish()
	if publish == nil || publish.IsClosed() || publish.Blocked() {
		return
	}
	var rivals []presence.Answer
	if !w.rank.mute && others > 0 {
		all, err := presence.AskPatiently(ctx, w.Link, presence.RankedKey(w.Lock), patience)
		if err != nil {
			w.rank.mute = wire.Code(err) == amqp.AccessRefused
			w.Link.Broker.Debugf("the priorities of others are not known: %v", err)
		}
		for _, a := range all {
			if a.InLine && len(a.Slots) == 0 && a.Lock() == w.Lock && !w.Who.Is(a) {
				rivals = append(rivals, a)
			}
		}
	}
	w.rank.came = min(w.rank.came, others)
	w.ahead = min(w.rank.among(w.Priority, others, rivals), others)
	if w.ahead == 0 && w.rank.lower { // and still not the first
		_ = place.announce(w.Lock.Name, w.Priority)
	}
}

// behind is ahead, and one more if the first in the queue may be one that should step
// back for us.
func (w *Waiter) behind() int {
	if w.rank.lower {
		return w.ahead + 1
	}
	return w.ahead
}

// stepBack takes another place, behind those of a higher priority, and then leaves the
// one that it has. The hint goes to the first of them. It returns nil without a place.
func (w *Waiter) stepBack(ctx context.Context, place *Place) *Place {
	err := w.Link.OpenPublish(ctx)
	var next *Place
	if err == nil {
		publish := w.Link.Publish()
		next, err = wire.TimedFor(ctx, w.Link, "step back in the wait queue",
			func(context.Context) (*Place, error) {
				channel, err := publish.Channel()
				if err != nil {
					return nil, err
				}
				next, err := join(channel, w.Lock.Name, steppedBack(w.Priority))
				if err == nil {
					err = place.leave()
				}
				return next, err
			})
	}
	w.first, w.soon, w.rank.unknown, w.rank.stepped = false, nil, true, true
	w.ahead = max(w.ahead, 1)
	w.PutBack(ctx) // only the first in the queue may keep a part
	if err != nil {
		w.Link.AbortPublish() // with both places
		w.Link.Broker.Debugf("no place in the wait queue: %v", err)
		next = nil
	}
	w.report(next)
	return next
}

// nudge has the first in the queue try: one of those behind it would overtake it by a try
// of its own. It reports whether that can work: the broker has taken the hint, and is in
// no alarm.
func (w *Waiter) nudge(ctx context.Context) bool {
	missing, sure := w.Link.MissingNow(ctx, wire.WaitQueue(w.Lock.Name)) // the question is a hint
	return sure && !missing
}
