package history

import (
	"context"
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

// Conn is the publish connection.
type Conn struct {
	*amqp.Connection
	Blocked func() bool // reports whether the broker has stopped reading, in an alarm
}

var (
	errAlarm    = errors.New("the broker is in an alarm, and reads nothing that is published")
	errGone     = errors.New("the log does not exist any more")
	errNoStream = errors.New("it is no stream")
	errRefused  = errors.New("the broker did not take the record")
)

// open opens a channel.
func open(ctx context.Context, conn *Conn) (*amqp.Channel, error) {
	if conn.Blocked() {
		return nil, errAlarm
	}
	type opened struct {
		channel *amqp.Channel
		err     error
	}
	answer := make(chan opened, 1)
	go func() {
		channel, err := conn.Channel()
		answer <- opened{channel, err}
	}()
	select {
	case o := <-answer:
		return o.channel, o.err
	case <-ctx.Done():
		return nil, ended(ctx, conn)
	}
}

// closeLater closes a channel. The answer is not worth a round trip: it comes, or the connection
// ends.
func closeLater(channel *amqp.Channel) { go func() { _ = channel.Close() }() }

// call runs f, which blocks on the broker heedless of any context, and returns early when ctx
// ends. Then f's goroutine lives until the connection ends.
func call(ctx context.Context, f func() error) error {
	answer := make(chan error, 1)
	go func() { answer <- f() }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// receive waits for a message.
func receive(ctx context.Context, messages <-chan amqp.Delivery, closed <-chan *amqp.Error) (
	amqp.Delivery, error,
) {
	select {
	case message, ok := <-messages:
		if !ok {
			return message, reason(errGone, closed)
		}
		return message, nil
	case <-ctx.Done():
		return amqp.Delivery{}, context.Cause(ctx)
	}
}

// reason replaces err, if there is one, by the reason for which the broker has closed the channel.
func reason(err error, closed <-chan *amqp.Error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, amqp.ErrClosed) { // the library says why a moment after it has closed
		if why := <-closed; why != nil {
			return why
		}
		return err
	}
	select {
	case why := <-closed:
		if why != nil {
			return why
		}
	default:
	}
	return err
}

// ended is the error of a call whose context has ended.
func ended(ctx context.Context, conn *Conn) error { return orAlarm(context.Cause(ctx), conn) }

// orAlarm replaces the end of a context by the alarm that it is due to.
func orAlarm(err error, conn *Conn) error {
	var answer *amqp.Error
	if conn.Blocked() && !errors.As(err, &answer) {
		return errAlarm
	}
	return err
}

// isGone reports whether the log was deleted while we used it.
func isGone(err error) bool {
	var answer *amqp.Error
	return errors.Is(err, errGone) || errors.As(err, &answer) &&
		(answer.Code == amqp.NotFound || isWithoutReplica(answer))
}

// explain makes an error for the caller.
func explain(what, queue string, err error) error {
	var already *fault.Error
	if errors.As(err, &already) {
		return err
	}
	e := &fault.Error{
		Kind: fault.ErrUnreachable,
		Text: fmt.Sprintf("could not %s the log %q: %v", what, queue, err),
		Err:  err,
	}
	var answer *amqp.Error
	if !errors.As(err, &answer) {
		return e
	}
	switch {
	case answer.Code == amqp.AccessRefused:
		e.Kind = fault.ErrAccess
		e.Hint = "the log needs permissions of its own: see Permissions in the README"
	case answer.Code == amqp.NotFound:
		e.Kind = fault.ErrNotFound
	case answer.Code == amqp.PreconditionFailed && isWithoutStreams(answer.Reason):
		e.Kind = fault.ErrNotALock
		e.Hint = "the broker has no streams: they need RabbitMQ 3.9, and its feature flag stream_queue"
	case isWithoutReplica(answer):
		e.Hint = "add a replica on this node: rabbitmq-streams add_replica"
	case answer.Code == amqp.PreconditionFailed, answer.Code == amqp.ResourceLocked:
		e.Kind = fault.ErrNotALock
		e.Hint = fmt.Sprintf("a queue %q that is no log of amqprun is in the way", queue)
	}
	return e
}

// isWithoutReplica is how RabbitMQ answers where this node has no copy of the stream, and for a
// moment while the stream is deleted.
func isWithoutReplica(answer *amqp.Error) bool {
	return answer.Code == amqp.PreconditionFailed && strings.Contains(answer.Reason, "replica")
}

func isWithoutStreams(reason string) bool {
	return strings.Contains(reason, "invalid arg 'x-queue-type'") ||
		strings.Contains(reason, "feature flag")
}
