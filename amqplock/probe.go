package amqplock

import (
	"context"
	"fmt"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// presence is what a probe found.
type presence int

const (
	unclear presence = iota // a nack: the queue's process is gone, or a policy rejects publishes; never "missing"
	exists
	missing
)

// window is how many probes are under way at most, and so the size of the buffer for returns: amqp091-go drops a return that
// nobody takes, and the confirm behind it would read as "exists".
const window = 256

// prober asks whether queues exist by publishing to them, mandatory and with confirms: the one way to ask about another's exclusive
// queue that leaves no error in the broker's log. The queues have a maximum length of 0, so the messages vanish.
//
// Of the six outcomes only a returned message means "missing". The others are: acked (exists), nacked (unclear), no answer (the
// context's error), channel closed and connection lost (their error).
type prober struct {
	channel *amqp.Channel
	returns chan amqp.Return
	closed  chan *amqp.Error
	sent    uint64
}

func newProber(connection *amqp.Connection) (*prober, error) {
	channel, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	if err := channel.Confirm(false); err != nil {
		return nil, err
	}
	return &prober{
		channel: channel,
		returns: channel.NotifyReturn(make(chan amqp.Return, window)),
		closed:  channel.NotifyClose(make(chan *amqp.Error, 1)),
	}, nil
}

// probe asks about at most window queues at once. After an error the prober is of no more use.
func (p *prober) probe(ctx context.Context, queues []string) ([]presence, error) {
	first := p.sent
	confirms := make([]*amqp.DeferredConfirmation, len(queues))
	for i, queue := range queues {
		p.sent++
		confirm, err := p.channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false,
			amqp.Publishing{MessageId: strconv.FormatUint(p.sent, 10)})
		if err != nil {
			return nil, p.reason(err)
		}
		confirms[i] = confirm
	}
	found := make([]presence, len(queues))
	for i, confirm := range confirms {
		acked, err := confirm.WaitContext(ctx)
		if err != nil {
			return nil, context.Cause(ctx)
		}
		if p.channel.IsClosed() { // the library then reports "not acked" for all that was pending
			return nil, p.reason(amqp.ErrClosed)
		}
		if acked {
			found[i] = exists
		}
	}
	// The broker sends a return before its confirm, and the library hands both on in order: all returns are here.
	for {
		select {
		case r := <-p.returns:
			id, err := strconv.ParseUint(r.MessageId, 10, 64)
			if err != nil || id <= first || id > p.sent {
				return nil, fmt.Errorf("returned message %q was not sent", r.MessageId)
			}
			found[id-first-1] = missing
		default:
			return found, nil
		}
	}
}

// reason prefers what the broker said when it closed the channel.
func (p *prober) reason(err error) error {
	select {
	case why, ok := <-p.closed:
		if ok && why != nil {
			return why
		}
	default:
	}
	return err
}

// slots is what a search found out about a semaphore.
type slots struct {
	known bool  // it exists, perhaps with no slots
	ours  bool  // it has slot 0: created by amqprun, so that its slots are quorum queues
	count int   // how many slots were seen; all of them if complete
	held  int   // how many of those are held
	free  []int // the numbers of the free ones, ascending
	all   bool  // count is the number of slots of the semaphore
}

// search looks through the slots of semaphore name in growing windows. It stops behind the first window with a free slot, unless it is
// to count them all.
func (p *prober) search(ctx context.Context, name string, countAll bool) (slots, error) {
	var s slots
	for from, size := 1, 8; ; from, size = from+size, min(2*size, window/2) {
		queues := make([]string, 0, 2*size+1) // at most window: see size
		for i := from; i < from+size; i++ {
			queues = append(queues, slotQueue(name, i), heldQueue(name, i))
		}
		if from == 1 {
			queues = append(queues, slotQueue(name, 0))
		}
		found, err := p.probe(ctx, queues)
		if err != nil {
			return s, err
		}
		if from == 1 {
			s.ours = found[2*size] != missing
			s.known = s.ours || found[0] != missing
		}
		for i := range size {
			switch slot, holder := found[2*i], found[2*i+1]; {
			case slot == missing:
				s.all = true
				return s, nil
			case slot == exists && holder == missing:
				s.free = append(s.free, from+i)
			default:
				s.held++
			}
			s.count++
		}
		if len(s.free) > 0 && !countAll || from+size > MaxSlots+100 {
			return s, nil
		}
	}
}
