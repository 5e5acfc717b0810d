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

	channel  *amqp.Channel
	tag      string // of the consumer
	messages <-chan amqp.Delivery
	closed   chan *amqp.Error
}

// prefetch bounds what the broker sends ahead of our acknowledgements.
const prefetch = 512

// attach begins to read at an offset, or with -1 at the last chunk. find proves that
// there is a log.
//
// The broker handles the requests of a channel in their order. So a record that is
// published on this one comes behind the place at which it began to read.
func (rd *reader) attach(
	ctx context.Context, offset int64, find func(*amqp.Channel) error,
) error {
	rd.detach()
	channel, err := open(ctx, rd.log.conn)
	if err != nil {
		return err
	}
	rd.channel, rd.known = channel, newKnown(offset, true)
	rd.closed = channel.NotifyClose(make(chan *amqp.Error, 1))
	err = wire.Call(ctx, func() error { return channel.Qos(prefetch, 0, false) })
	if err == nil {
		err = wire.Call(ctx, func() error { return find(channel) })
	}
	if err == nil {
		rd.tag = consumer
		rd.messages, err = channel.Consume(rd.log.queue, rd.tag, false, false, false, true, from(offset))
	}
	return reason(err, rd.closed)
}

// attached waits until the broker has begun to send: attach does not. The answer to a
// later request on the channel comes behind a refusal.
func (rd *reader) attached(ctx context.Context) error {
	err := wire.Call(ctx, func() error { return rd.channel.Qos(prefetch, 0, false) })
	return reason(err, rd.closed)
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
		closeLater(rd.channel)
		rd.channel = nil
	}
}

// read takes in one record. id is that of the message.
func (rd *reader) read(ctx context.Context) (e entry, id string, err error) {
	message, err := receive(ctx, rd.messages, rd.closed)
	if err != nil {
		return e, "", err
	}
	if e.offset, err = offsetOf(message); err != nil {
		return e, "", err
	}
	e.record, _ = decode(message.Body)
	rd.known.add(e.offset, e.record)
	rd.last = string(message.Body)
	return e, message.MessageId, reason(message.Ack(false), rd.closed)
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
	err = wire.Call(ctx, func() error {
		return channel.Publish("", rd.log.queue, false, false, amqp.Publishing{
			ContentType: "application/json", DeliveryMode: amqp.Persistent, MessageId: id, Body: body,
		})
	})
	return reason(err, rd.closed)
}

// offsetOf is the place of a message in the stream.
func offsetOf(message amqp.Delivery) (int64, error) {
	offset, ok := message.Headers["x-stream-offset"].(int64)
	if !ok || offset < 0 {
		return 0, errNoStream
	}
	return offset, nil
}
