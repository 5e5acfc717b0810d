// Package history keeps the log of one lock: a stream with a record of each grant and of
// each end. The log is also where fencing tokens come from.
//
// Everything here publishes or consumes on the publish connection, and takes a context. A
// call that hangs at the broker when its context ends leaves a goroutine, which ends with
// the connection.
package history

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// The bounds of a log. The broker deletes whole segments from its beginning, so the log
// holds at least maxBytes less a segment, and at most a segment more.
const (
	maxBytes     = 8_000_000
	segmentBytes = 500_000
)

func logArgs() amqp.Table {
	return amqp.Table{
		"x-queue-type":                    "stream",
		"x-max-length-bytes":              maxBytes,
		"x-stream-max-segment-size-bytes": segmentBytes,
	}
}

// Log is the log of one lock, reached by one publish connection.
type Log struct {
	conn  *wire.Conn
	kind  wire.Kind
	queue string
	now   func() time.Time
}

// New contacts nothing.
func New(conn *wire.Conn, lock wire.Ref) *Log {
	return &Log{conn: conn, kind: lock.Kind, queue: wire.LogQueue(lock.Name), now: time.Now}
}

// Append adds a record, and returns when a majority of the log's replicas has it. A grant
// makes the log if need be. An end does not: whoever has deleted the log with the lock
// wants none.
func (l *Log) Append(ctx context.Context, r Record) error {
	ctx, cancel := untilAlarm(ctx, l.conn)
	defer cancel()
	channel, err := open(ctx, l.conn)
	if err == nil {
		defer closeLater(channel)
		err = l.append(ctx, channel, r)
	}
	return l.explain("write to", err)
}

// declare also proves that a queue of that name is a log: with other arguments the broker
// answers 406, and for an exclusive queue 405.
func (l *Log) declare(channel *amqp.Channel) error {
	_, err := channel.QueueDeclare(l.queue, true, false, false, false, logArgs())
	return err
}

// find is declare for a log that has to exist.
func (l *Log) find(channel *amqp.Channel) error {
	_, err := channel.QueueDeclarePassive(l.queue, true, false, false, false, nil)
	if err != nil {
		return err
	}
	return l.declare(channel)
}

func (l *Log) append(ctx context.Context, channel *amqp.Channel, r Record) error {
	body, err := r.encode()
	if err != nil {
		return err
	}
	returned := channel.NotifyReturn(make(chan amqp.Return, 1))
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	if err := wire.Call(ctx, func() error {
		if r.Type == TypeGrant {
			if err := l.declare(channel); err != nil {
				return err
			}
		}
		return channel.Confirm(false)
	}); err != nil {
		return reason(err, closed)
	}
	if l.conn.Blocked() {
		return errAlarm
	}
	confirm, err := wire.CallFor(ctx, func() (*amqp.DeferredConfirmation, error) {
		return channel.PublishWithDeferredConfirm("", l.queue, true, false,
			amqp.Publishing{ContentType: "application/json", DeliveryMode: amqp.Persistent, Body: body})
	})
	if err != nil {
		return reason(err, closed)
	}
	select {
	case <-confirm.Done():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if channel.IsClosed() { // the library then reports "not acked" for all that was pending
		return reason(amqp.ErrClosed, closed)
	}
	select {
	case <-returned: // it comes before the confirm
		return errGone
	default:
	}
	if !confirm.Acked() {
		return errRefused
	}
	return nil
}
