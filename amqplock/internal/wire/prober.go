package wire

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// window is how many probes are under way at most, and so the size of the buffer for
// returns. amqp091-go drops a return that nobody takes, and its queue would seem to
// exist.
const window = 256

// barrier is the name of a queue that cannot exist: RabbitMQ lets nobody declare "amq."
// names.
const barrier = "amq.amqprun.barrier"

// prober asks which queues are missing by publishing to them. That is the one way to
// ask about another's exclusive queue that leaves no error in the broker's log. The
// queues have a maximum length of 0, so the messages vanish.
//
// Such a publish has six outcomes, and only one proves anything: a returned message
// means "missing". Acked, nacked and not answered yet all mean "not known to be
// missing": the checks of a claim decide that. The other two, a closed channel and a
// lost connection, are errors. So nobody waits for confirms, which in a quorum queue
// come from the disks of a majority. The broker answers a channel's publishes to no
// queue in their order. The confirm of the last one, the barrier, comes behind all
// returns.
type prober struct {
	conn    *Conn
	channel *Channel
	returns chan amqp.Return
	alarms  <-chan amqp.Blocking
	sent    uint64
}

func newProber(ctx context.Context, c *Conn) (*prober, error) {
	channel, err := OpenChannel(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := channel.Call(ctx, func() error { return channel.Confirm(false) }); err != nil {
		channel.CloseLater()
		return nil, err
	}
	return &prober{
		conn:    c,
		channel: channel,
		returns: channel.NotifyReturn(make(chan amqp.Return, window+1)),
		alarms:  c.alarms,
	}, nil
}

// probe reports which of the queues, at most window, are missing. After an error the
// prober is of no more use.
func (p *prober) probe(ctx context.Context, queues []string) (missing []bool, err error) {
	first := p.sent
	var confirm *amqp.DeferredConfirmation
	for _, queue := range append(queues[:len(queues):len(queues)], barrier) {
		p.sent++
		confirm, err = p.channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false,
			amqp.Publishing{MessageId: strconv.FormatUint(p.sent, 10)})
		if err != nil {
			return nil, p.channel.Reason(err)
		}
	}
	if err := p.await(ctx, confirm); err != nil {
		return nil, err
	}
	if p.channel.IsClosed() { // the library then reports "not acked" for all that was pending
		return nil, p.channel.Reason(amqp.ErrClosed)
	}
	// The library hands returns and confirms on in the order of the wire: all returns are
	// here.
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

// await returns when the broker has answered, or is in an alarm and will not.
func (p *prober) await(ctx context.Context, confirm *amqp.DeferredConfirmation) error {
	for {
		select {
		case <-confirm.Done():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case b, open := <-p.alarms:
			if !open {
				return p.channel.Reason(amqp.ErrClosed)
			}
			if b.Active {
				return &AlarmError{b.Reason}
			}
		}
	}
}

// AlarmError says that the broker is short of memory or disk, and reads nothing more from
// the connection until that is over.
type AlarmError struct{ Reason string }

func (e *AlarmError) Error() string {
	return fmt.Sprintf("the broker is in an alarm (%s), and reads nothing that is published", e.Reason)
}
