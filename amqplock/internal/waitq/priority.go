package waitq

import (
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

// rankPatience is how long the next answer about ranks may take. The waiter heeds no hint
// meanwhile. An answer that is missed makes a report wrong until the next question.
const rankPatience = 150 * time.Millisecond

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
