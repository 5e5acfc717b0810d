package amqplock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// window is how many probes are under way at most, and so the size of the buffer for returns: amqp091-go drops a return that
// nobody takes, and what it was about would seem to exist.
const window = 256

// barrier is the name of a queue that cannot exist: RabbitMQ lets nobody declare "amq." names.
const barrier = "amq.amqprun.barrier"

// prober asks which queues are missing by publishing to them: the one way to ask about another's exclusive queue that leaves no error in
// the broker's log. The queues have a maximum length of 0, so the messages vanish.
//
// Of the six outcomes of such a publish only one proves anything: a returned message means "missing". Acked, nacked and not answered yet all
// mean "not known to be missing": what a nack leaves open, the checks of a claim decide. The other two, a closed channel and a lost
// connection, are errors. So nobody waits for confirms, which in a quorum queue come from the disks of a majority: the broker answers a
// channel's publishes to no queue in their order, and the confirm of the last one, the barrier, comes behind all returns.
type prober struct {
	channel *amqp.Channel
	returns chan amqp.Return
	closed  chan *amqp.Error
	alarms  <-chan amqp.Blocking
	sent    uint64
	seen    int // how many slots the semaphore had
}

func newProber(c *conn) (*prober, error) {
	channel, err := c.Channel()
	if err != nil {
		return nil, err
	}
	if err := channel.Confirm(false); err != nil {
		return nil, err
	}
	return &prober{
		channel: channel,
		returns: channel.NotifyReturn(make(chan amqp.Return, window+1)),
		closed:  channel.NotifyClose(make(chan *amqp.Error, 1)),
		alarms:  c.alarms,
	}, nil
}

// probe tells which of the queues, at most window, are missing. After an error the prober is of no more use.
func (p *prober) probe(ctx context.Context, queues []string) (missing []bool, err error) {
	first := p.sent
	var confirm *amqp.DeferredConfirmation
	for _, queue := range append(queues[:len(queues):len(queues)], barrier) {
		p.sent++
		confirm, err = p.channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false,
			amqp.Publishing{MessageId: strconv.FormatUint(p.sent, 10)})
		if err != nil {
			return nil, p.reason(err)
		}
	}
	if err := p.await(ctx, confirm); err != nil {
		return nil, err
	}
	if p.channel.IsClosed() { // the library then reports "not acked" for all that was pending
		return nil, p.reason(amqp.ErrClosed)
	}
	// The library hands returns and confirms on in the order of the wire: all returns are here.
	missing = make([]bool, len(queues)+1)
	for {
		select {
		case r := <-p.returns:
			id, err := strconv.ParseUint(r.MessageId, 10, 64)
			if err != nil || id <= first || id > p.sent {
				return nil, fmt.Errorf("returned message %q was not sent", r.MessageId)
			}
			missing[id-first-1] = true
		default:
			if !missing[len(queues)] {
				return nil, errors.New("the broker did not return a message to a queue that cannot exist")
			}
			return missing[:len(queues)], nil
		}
	}
}

// await returns when the broker has answered, or has said that it will not.
func (p *prober) await(ctx context.Context, confirm *amqp.DeferredConfirmation) error {
	for {
		select {
		case <-confirm.Done():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case b, open := <-p.alarms:
			if !open {
				return p.reason(amqp.ErrClosed)
			}
			if b.Active {
				return &alarmError{b.Reason}
			}
		}
	}
}

// alarmError says that the broker is short of memory or disk, and reads nothing more from the connection until that is over.
type alarmError struct{ reason string }

func (e *alarmError) Error() string {
	return fmt.Sprintf("the broker is in an alarm (%s), and answers nobody who publishes", e.reason)
}

// reason replaces "closed" by what the broker said, which the library hands out a moment after it has marked the channel.
func (p *prober) reason(err error) error {
	if !errors.Is(err, amqp.ErrClosed) {
		return err
	}
	if why := <-p.closed; why != nil {
		return why
	}
	return err
}

// slots is what a search found out about a semaphore.
type slots struct {
	known bool  // it exists, perhaps with no slots
	ours  bool  // it has slot 0: created by amqprun, so that its slots are quorum queues
	count int   // how many slots it has; from find, at least how many
	held  int   // how many of those were seen to be held
	free  []int // the numbers of slots seen to be free
	drain bool  // the last slot is not to be taken
}

// survey looks at every slot, up to the first that is missing.
func (p *prober) survey(ctx context.Context, name string) (slots, error) {
	s, all, err := p.begin(ctx, name, firstSlots)
	for size := 2 * firstSlots; err == nil && !all; size = min(2*size, window/2) {
		all, err = p.look(ctx, name, &s, size)
	}
	return s, err
}

// find looks for at least want free slots, in a few round trips however many slots there are: it bisects for their number, and then asks
// about holders only, from a random slot on, so that those who come at the same time do not meet at the same slot. Of a long row it looks at
// no more than most.
func (p *prober) find(ctx context.Context, name string, want, most int) (slots, error) {
	size := firstSlots
	if p.seen > 0 { // who waits asks again and again, and one more tells whether there are others now
		size = min(size, p.seen+1)
	}
	s, all, err := p.begin(ctx, name, size)
	p.seen = s.count
	if err != nil || all || len(s.free) >= want && !s.drain {
		return s.spareLast(), err
	}
	first := s.count + 1
	if s.count, err = p.bisect(ctx, name, s.count); err != nil {
		return s, err
	}
	p.seen = s.count
	rest := s.count - first + 1
	most = min(most, rest)
	size = max(want, firstSlots)
	for done, start := 0, rand.IntN(max(rest, 1)); done < most && len(s.free) < want; {
		size = min(4*size, window) // where many are free the first few will do
		queues, numbers := make([]string, 0, size), make([]int, 0, size)
		for ; done < most && len(queues) < size; done++ {
			i := first + (start+done)%rest
			queues, numbers = append(queues, heldQueue(name, i)), append(numbers, i)
		}
		missing, err := p.probe(ctx, queues)
		if err != nil {
			return s, err
		}
		for i, free := range missing {
			if free {
				s.free = append(s.free, numbers[i])
			} else {
				s.held++
			}
		}
	}
	return s.spareLast(), nil
}

// spareLast leaves the last slot to who drains the semaphore. Where count is only a lower bound that costs a slot for a moment.
func (s slots) spareLast() slots {
	if s.drain {
		s.free = slices.DeleteFunc(s.free, func(i int) bool { return i == s.count })
	}
	return s
}

// firstSlots is how many slots the first round trip looks at: most semaphores have no more.
const firstSlots = 8

// begin looks at the first slots, and whether there is a semaphore at all.
func (p *prober) begin(ctx context.Context, name string, size int) (s slots, all bool, err error) {
	all, err = p.look(ctx, name, &s, size)
	s.known = s.ours || s.count > 0
	return s, all, err
}

// look adds the next size slots to s, and tells whether the last one has been seen.
func (p *prober) look(ctx context.Context, name string, s *slots, size int) (all bool, err error) {
	first := s.count + 1
	queues := make([]string, 0, 2*size+2)
	for i := first; i < first+size; i++ {
		queues = append(queues, slotQueue(name, i), heldQueue(name, i))
	}
	if first == 1 {
		queues = append(queues, slotQueue(name, 0), drainQueue(name))
	}
	missing, err := p.probe(ctx, queues)
	if err != nil {
		return false, err
	}
	if first == 1 {
		s.ours, s.drain = !missing[2*size], !missing[2*size+1]
	}
	for i := range size {
		if missing[2*i] {
			return true, nil
		}
		if missing[2*i+1] {
			s.free = append(s.free, first+i)
		} else {
			s.held++
		}
		s.count++
	}
	return s.count > MaxSlots+overshoot, nil
}

// branches is in how many parts bisect divides. More would spare a round trip, but each part costs the broker the Raft command of a message to
// a quorum queue.
const branches = 16

// bisect returns the number of the last slot, given one that exists.
func (p *prober) bisect(ctx context.Context, name string, last int) (int, error) {
	end := MaxSlots + overshoot + 1 // one that does not exist
	candidates := []int{}
	for i := 2 * last; i < end; i *= 2 {
		candidates = append(candidates, i)
	}
	for {
		queues := make([]string, len(candidates))
		for i, n := range candidates {
			queues[i] = slotQueue(name, n)
		}
		missing, err := p.probe(ctx, queues)
		if err != nil {
			return last, err
		}
		for i, n := range candidates {
			if missing[i] {
				end = n
				break
			}
			last = n
		}
		if end-last <= 1 {
			return last, nil
		}
		candidates = candidates[:0]
		for step, i := max((end-last)/branches, 1), last; i+step < end; {
			i += step
			candidates = append(candidates, i)
		}
	}
}
