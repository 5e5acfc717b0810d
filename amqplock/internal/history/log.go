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

// Log is the log of one lock, reached by one publish connection. One goroutine at a time
// uses it.
type Log struct {
	stream
	now    func() time.Time
	writer *writer // nil until it is needed

	follows bool // the broker may grant a slot twice, see Follower
}

// New contacts nothing.
func New(conn *wire.Conn, lock wire.Ref) *Log {
	return &Log{
		stream: stream{conn, lock.Kind, wire.LogQueue(lock.Name), usualSilence}, now: time.Now,
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
		err = w.channel.Call(ctx, func() error { return l.declare(w.channel) })
	}
	if err == nil {
		err = w.append(ctx, l.queue, r)
	}
	if err != nil { // its answer may still come, and be taken for that to the next
		l.close()
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

func (l *Log) open(ctx context.Context) (*writer, error) {
	if l.writer != nil && !l.writer.channel.IsClosed() {
		return l.writer, nil
	}
	w, err := l.connect(ctx)
	if err == nil {
		err = w.channel.Call(ctx, func() error { return w.channel.Confirm(false) })
	}
	if err != nil {
		l.close()
	}
	return w, err
}

// connect opens a writer that gets no confirms yet.
func (l *Log) connect(ctx context.Context) (*writer, error) {
	channel, err := openChannel(ctx, l.conn)
	if err != nil {
		return nil, err
	}
	l.writer = &writer{channel, channel.NotifyReturn(make(chan amqp.Return, 1))}
	return l.writer, nil
}

func (l *Log) close() {
	if l.writer != nil {
		l.writer.channel.CloseLater()
		l.writer = nil
	}
}

// writer is a channel that appends records.
type writer struct {
	channel  *wire.Channel
	returned <-chan amqp.Return
}

// append returns when the broker has confirmed the record.
func (w *writer) append(ctx context.Context, queue string, r Record) error {
	confirm, err := w.publish(ctx, queue, "", true, r)
	if err != nil {
		return err
	}
	select {
	case <-confirm.Done():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if w.channel.IsClosed() { // the library then reports "not acked" for all that was pending
		return w.channel.Reason(amqp.ErrClosed)
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

// publish sends a record in a message with that ID. With mandatory the broker returns one
// that it cannot route.
func (w *writer) publish(
	ctx context.Context, queue, id string, mandatory bool, r Record,
) (*amqp.DeferredConfirmation, error) {
	body, err := r.encode()
	if err != nil {
		return nil, err
	}
	message := amqp.Publishing{
		ContentType: "application/json", DeliveryMode: amqp.Persistent, MessageId: id, Body: body,
	}
	return wire.CallOn(ctx, w.channel, func() (*amqp.DeferredConfirmation, error) {
		return w.channel.PublishWithDeferredConfirm("", queue, mandatory, false, message)
	})
}
