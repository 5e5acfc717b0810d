package history

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// reader reads a log on a channel, on which it also appends. Its methods may not be
// called at the same time.
type reader struct {
	log   *Log
	known known
	last  string // the body of the newest message

	channel  *wire.Channel
	tag      string // of the consumer
	messages <-chan amqp.Delivery
}

// prefetch bounds what the broker sends ahead of our acknowledgements.
const prefetch = 512

// consumer is the tag of the one consumer of a channel.
const consumer = "log"

// attach begins to read at an offset, or with -1 at the last chunk. find proves that
// there is a log.
//
// The broker handles the requests of a channel in their order. So a record that is
// published on this one comes behind the place at which it began to read.
func (rd *reader) attach(
	ctx context.Context, offset int64, find func(*wire.Channel) error,
) error {
	rd.detach()
	channel, err := open(ctx, rd.log.conn)
	if err != nil {
		return err
	}
	rd.channel, rd.known = channel, newKnown(offset)
	rd.tag = consumer
	queue := rd.log.queue
	rd.messages, err = wire.CallOn(ctx, channel, func() (<-chan amqp.Delivery, error) {
		if err := channel.Qos(prefetch, 0, false); err != nil {
			return nil, err
		}
		if err := find(channel); err != nil {
			return nil, err
		}
		return channel.Consume(queue, consumer, false, false, false, true, from(offset))
	})
	return err
}

// attached waits until the broker has begun to send: attach does not. The answer to a
// later request on the channel comes behind a refusal.
func (rd *reader) attached(ctx context.Context) error {
	channel := rd.channel // which detach sets to nil, also beside a late call
	return channel.Call(ctx, func() error { return channel.Qos(prefetch, 0, false) })
}

// from are the arguments of a consumer that begins at an offset, or with -1 at the last
// chunk.
func from(offset int64) amqp.Table {
	if offset < 0 {
		return amqp.Table{"x-stream-offset": "last"}
	}
	return amqp.Table{"x-stream-offset": offset}
}

func (rd *reader) detach() {
	if rd.channel != nil {
		rd.channel.CloseLater()
		rd.channel = nil
	}
}

// read takes in one record. id is that of the message.
func (rd *reader) read(ctx context.Context) (e entry, id string, err error) {
	message, err := receive(ctx, rd.channel, rd.messages)
	if err != nil {
		return e, "", err
	}
	if e, err = entryOf(message); err != nil {
		return e, "", err
	}
	rd.known.add(e.offset, e.record)
	rd.last = string(message.Body)
	return e, message.MessageId, rd.channel.Reason(message.Ack(false))
}

func (rd *reader) publish(ctx context.Context, id string, r Record) error {
	body, err := r.encode()
	if err != nil {
		return err
	}
	if rd.log.conn.Blocked() {
		return errAlarm
	}
	channel := rd.channel
	return channel.Call(ctx, func() error {
		return channel.Publish("", rd.log.queue, false, false, amqp.Publishing{
			ContentType: "application/json", DeliveryMode: amqp.Persistent, MessageId: id, Body: body,
		})
	})
}

// entryOf finds the record and its place in a message of the stream.
func entryOf(message amqp.Delivery) (entry, error) {
	offset, ok := message.Headers["x-stream-offset"].(int64)
	if !ok || offset < 0 {
		return entry{}, errNoStream
	}
	r, _ := decode(message.Body)
	return entry{offset, r}, nil
}
