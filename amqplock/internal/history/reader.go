package history

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// reader reads a log on the channel on which that appends. Its methods may not be called
// at the same time.
type reader struct {
	log   *Log
	known known
	last  string // the body of the newest message

	tag      string // of the consumer
	messages <-chan amqp.Delivery
}

// prefetch bounds what the broker sends ahead of our acknowledgements: 64 MB, if each
// record is as long as it can be (maxRecord).
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
	w, err := rd.log.connect(ctx)
	if err != nil {
		return err
	}
	rd.tag, rd.known = consumer, newKnown(offset)
	channel, queue := w.channel, rd.log.queue // for a late call
	args := consumerArgs(offset)
	rd.messages, err = wire.CallOn(ctx, channel, func() (<-chan amqp.Delivery, error) {
		if err := channel.Qos(prefetch, 0, false); err != nil {
			return nil, err
		}
		if err := find(channel); err != nil {
			return nil, err
		}
		messages, err := channel.Consume(queue, consumer, false, false, false, false, args)
		if err != nil {
			return nil, err
		}
		return messages, channel.Confirm(false)
	})
	if err != nil {
		rd.detach()
	}
	return err
}

// consumerArgs are those of a consumer that begins at an offset, or with -1 at the last
// chunk.
func consumerArgs(offset int64) amqp.Table {
	if offset < 0 {
		return amqp.Table{"x-stream-offset": "last"}
	}
	return amqp.Table{"x-stream-offset": offset}
}

func (rd *reader) detach() { rd.log.close() }

// leave ends the reading, and leaves the channel to the log.
func (rd *reader) leave() {
	channel, tag := rd.log.writer.channel, rd.tag
	go func() { // the answer is not worth a round trip
		_ = channel.Call(context.Background(), func() error { return channel.Cancel(tag, false) })
	}()
}

// read takes in one record. id is that of the message.
func (rd *reader) read(ctx context.Context) (e entry, id string, err error) {
	channel := rd.log.writer.channel
	message, err := receive(ctx, channel, rd.messages)
	if err != nil {
		return e, "", err
	}
	if e, err = entryOf(message); err != nil {
		return e, "", err
	}
	rd.known.add(e.offset, e.record)
	rd.last = string(message.Body)
	return e, message.MessageId, channel.Reason(message.Ack(false))
}

func (rd *reader) publish(ctx context.Context, id string, r Record) error {
	if rd.log.conn.Blocked() {
		return errAlarm
	}
	_, err := rd.log.writer.publish(ctx, rd.log.queue, id, false, r)
	return err
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
