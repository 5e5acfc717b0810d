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

// Log is the log of one lock, reached by one publish connection. One goroutine at a time
// uses it.
type Log struct {
	conn   *wire.Conn
	kind   wire.Kind
	queue  string
	now    func() time.Time
	writer *writer // nil until it is needed

	follows bool // the broker may grant a slot twice, see Follower
}

// New contacts nothing.
func New(conn *wire.Conn, lock wire.Ref) *Log {
	return &Log{
		conn: conn, kind: lock.Kind, queue: wire.LogQueue(lock.Name), now: time.Now,
		follows: conn.MayGrantTwice(),
	}
}

// on is the same log by another publish connection.
func (l *Log) on(conn *wire.Conn) *Log {
	other := *l
	other.conn, other.writer = conn, nil
	return &other
}

// Conn is the publish connection.
func (l *Log) Conn() *wire.Conn { return l.conn }

// Append adds a record, and returns when a majority of the log's replicas has it. A grant
// makes the log if need be. An end does not: whoever has deleted the log with the lock
// wants none.
func (l *Log) Append(ctx context.Context, r Record) error {
	ctx, cancel := untilAlarm(ctx, l.conn)
	defer cancel()
	w, err := l.open(ctx)
	if err == nil && r.Type == TypeGrant {
		err = w.call(ctx, func() error { return l.declare(w.channel) })
	}
	if err == nil {
		err = w.append(ctx, l.queue, r)
	}
	if err != nil && w != nil { // its answer may still come, and be taken for that to the next
		closeLater(w.channel)
		l.writer = nil
	}
	return l.explain("write to", err)
}

// Prepare saves the next Append the time to open a channel.
func (l *Log) Prepare(ctx context.Context) error {
	ctx, cancel := untilAlarm(ctx, l.conn)
	defer cancel()
	_, err := l.open(ctx)
	return l.explain("write to", err)
}

// open opens the writer unless it is open.
func (l *Log) open(ctx context.Context) (*writer, error) {
	if l.writer != nil && !l.writer.channel.IsClosed() {
		return l.writer, nil
	}
	channel, err := open(ctx, l.conn)
	if err != nil {
		return nil, err
	}
	w := &writer{
		channel:  channel,
		returned: channel.NotifyReturn(make(chan amqp.Return, 1)),
		closed:   channel.NotifyClose(make(chan *amqp.Error, 1)),
	}
	if err := w.call(ctx, func() error { return channel.Confirm(false) }); err != nil {
		closeLater(channel)
		return nil, err
	}
	l.writer = w
	return w, nil
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

// writer is a channel that appends records.
type writer struct {
	channel  *amqp.Channel
	returned <-chan amqp.Return
	closed   <-chan *amqp.Error
}

// call is wire.Call for a call on the channel.
func (w *writer) call(ctx context.Context, f func() error) error {
	return reason(wire.Call(ctx, f), w.closed)
}

func (w *writer) append(ctx context.Context, queue string, r Record) error {
	body, err := r.encode()
	if err != nil {
		return err
	}
	message := amqp.Publishing{
		ContentType: "application/json", DeliveryMode: amqp.Persistent, Body: body,
	}
	confirm, err := wire.CallFor(ctx, func() (*amqp.DeferredConfirmation, error) {
		return w.channel.PublishWithDeferredConfirm("", queue, true, false, message)
	})
	if err != nil {
		return reason(err, w.closed)
	}
	select {
	case <-confirm.Done():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if w.channel.IsClosed() { // the library then reports "not acked" for all that was pending
		return reason(amqp.ErrClosed, w.closed)
	}
	select {
	case <-w.returned: // it comes before the confirm
		return errGone
	default:
	}
	if !confirm.Acked() {
		return errRefused
	}
	return nil
}
