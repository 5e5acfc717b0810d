package waitq

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// When the active consumer leaves, the broker takes the one of the highest priority, and
// of several the one that came first. But it does not replace an active consumer by one
// of a higher priority that joins. So that one announces its priority to the active one,
// in a hint. If that is lower, the active one steps back.
//
// A waiter that has stepped back stands before the others of its priority, as it did
// before. So the consumers have two priorities for each of waiters.

// newcomer is the consumer's priority of a waiter that joins.
func newcomer(priority int) int { return 2 * priority }

// steppedBack is that of a waiter that has been the first.
func steppedBack(priority int) int { return 2*priority + 1 }

// priorityHeader is in the hint of a waiter that announces its priority.
const priorityHeader = "priority"

// announce has the first in the queue step back if its priority is lower.
func (p *Place) announce(name string, priority int) error {
	return p.channel.Publish("", wire.WaitQueue(name), false, false, amqp.Publishing{
		Headers: amqp.Table{priorityHeader: int32(priority)},
	})
}

// announcement reads a hint.
func announcement(hint amqp.Delivery) (announced bool, priority int) {
	n, announced := hint.Headers[priorityHeader].(int32)
	return announced, int(n)
}

// errOutranked says that a waiter of a higher priority has announced itself. The hint is
// not acknowledged yet. A hint that comes again does not make anybody step back: the
// broker has just chosen whom it goes to.
var errOutranked = errors.New("a waiter of a higher priority has joined")

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

// rankAfter is when a waiter first asks for its rank. By then those who came with it
// answer.
const rankAfter = presence.Delay + 100*time.Millisecond

// rank is what a waiter knows of those who wait with it.
type rank struct {
	at      time.Time // When we joined.
	came    int       // At most so many are left of those who joined before us.
	higher  int       // So many have answered that are to be served before us.
	lower   bool      // There is one of a lower priority. It may be the first in the queue.
	unknown bool      // Nobody has been asked yet.
	stepped bool      // We stepped back. The others may have been slow to answer.
	mute    bool      // We may not ask.
}

// behind is ahead, and one more if the first in the queue may be one that should step
// back for us.
func (w *Waiter) behind() int {
	if w.rank.lower {
		return w.ahead + 1
	}
	return w.ahead
}

// rankPatience is how long the next answer about ranks may take. The waiter heeds no hint
// meanwhile. An answer that is missed makes a report wrong until the next question.
const rankPatience = 150 * time.Millisecond

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

// among is how many of others are to be served before us. Of rivals the priorities are
// known; the rest have 0.
func (r *rank) among(priority, others int, rivals []presence.Answer) int {
	came := r.came
	r.higher, r.lower = 0, false
	for _, a := range rivals {
		before := a.Since().Before(r.at)
		if before {
			came--
		}
		switch {
		case a.Priority > priority, a.Priority == priority && before:
			r.higher++
		case a.Priority < priority:
			r.lower = true
		}
	}
	plain := max(others-len(rivals), 0)
	switch {
	case priority < 0:
		return r.higher + plain
	case priority > 0:
		r.lower = r.lower || plain > 0
		return r.higher
	default:
		return r.higher + min(max(came, 0), plain)
	}
}
