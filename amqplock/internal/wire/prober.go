package wire

import (
	"context"
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
// Only a returned message proves something: "missing". Any other queue is "not known to
// be missing": the checks of a claim decide that. So there are no confirms, which in a
// quorum queue come from the disks of a majority. The broker handles a channel's messages
// in their order. When the last one, the barrier, is back, the others are.
type prober struct {
	conn    *Conn
	channel *Channel
	returns chan amqp.Return // closed with the channel
	alarms  <-chan amqp.Blocking
	sent    uint64
}

func newProber(ctx context.Context, c *Conn) (*prober, error) {
	channel, err := OpenChannel(ctx, c)
	if err != nil {
		return nil, err
	}
	return &prober{
		conn:    c,
		channel: channel,
		returns: channel.NotifyReturn(make(chan amqp.Return, window+1)),
		alarms:  c.alarms,
	}, nil
}

// AskAbsence asks over a publish connection whether queue does not exist, where a
// request about it could end the connection instead (see FragileAbsence). It returns
// the answer that the broker fails to give.
func AskAbsence(ctx context.Context, c *Conn, queue string) error {
	if !FragileAbsence(c.Config.Vhost, queue) {
		return nil
	}
	p, err := newProber(ctx, c)
	if err != nil {
		return err
	}
	defer p.channel.CloseLater()
	missing, err := p.probe(ctx, []string{queue})
	if err == nil && missing[0] {
		err = &amqp.Error{Code: amqp.NotFound, Reason: absence(c.Config.Vhost, queue), Server: true}
	}
	return err
}

// probe reports which of the queues, at most window, are missing. After an error the
// prober is of no more use.
func (p *prober) probe(ctx context.Context, queues []string) (missing []bool, err error) {
	first := p.sent
	if err := p.ask(ctx, append(queues[:len(queues):len(queues)], barrier)); err != nil {
		return nil, p.channel.Reason(err)
	}
	missing = make([]bool, len(queues)+1)
	for !missing[len(queues)] {
		r, err := p.await(ctx)
		if err != nil {
			return nil, err
		}
		id, err := strconv.ParseUint(r.MessageId, 10, 64)
		if err != nil || id <= first || id > p.sent {
			return nil, fmt.Errorf("returned message %q was not sent", r.MessageId)
		}
		missing[id-first-1] = true
	}
	return missing[:len(queues)], nil
}

// ask sends a message to each of the queues, all in one write: the broker reads and
// answers them at once.
func (p *prober) ask(ctx context.Context, queues []string) error {
	p.conn.batch.hold()
	for _, queue := range queues {
		p.sent++
		err := p.channel.PublishWithContext(ctx, "", queue, true, false,
			amqp.Publishing{MessageId: strconv.FormatUint(p.sent, 10)})
		if err != nil {
			_ = p.conn.batch.send()
			return err
		}
	}
	return p.conn.batch.send()
}

// await blocks until a message is returned, or the broker is in an alarm and will return
// none.
func (p *prober) await(ctx context.Context) (r amqp.Return, err error) {
	for {
		select {
		case r, ok := <-p.returns:
			if !ok {
				return r, p.channel.Reason(amqp.ErrClosed)
			}
			return r, nil
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case b, open := <-p.alarms:
			if !open {
				return r, p.channel.Reason(amqp.ErrClosed)
			}
			if b.Active {
				return r, &AlarmError{b.Reason}
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
