package history

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

var (
	errAlarm    = &wire.AlarmError{Reason: "memory or disk"}
	errGone     = errors.New("the log does not exist any more")
	errNoStream = errors.New("it is no stream")
	errRefused  = errors.New("the broker did not take the record")
)

// open opens a channel.
func open(ctx context.Context, conn *wire.Conn) (*wire.Channel, error) {
	if conn.Blocked() {
		return nil, errAlarm
	}
	return wire.OpenChannel(ctx, conn)
}

// receive waits for a message on the channel.
func receive(ctx context.Context, channel *wire.Channel, messages <-chan amqp.Delivery) (
	amqp.Delivery, error,
) {
	var message amqp.Delivery
	var ok bool
	select {
	case message, ok = <-messages:
	case <-ctx.Done():
		select { // a process that is starved finds both: the message came in time
		case message, ok = <-messages:
		default:
			return message, context.Cause(ctx)
		}
	}
	if !ok {
		return message, channel.Reason(errGone)
	}
	return message, nil
}

// alarmPoll is between two looks whether there is an alarm. It makes no answer late.
const alarmPoll = 20 * time.Millisecond

// untilAlarm returns a context that ends with ctx, and with errAlarm when the broker
// stops reading from conn.
func untilAlarm(ctx context.Context, conn *wire.Conn) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(alarmPoll)
		defer tick.Stop()
		for ctx.Err() == nil {
			if conn.Blocked() {
				cancel(errAlarm)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// isGone reports whether the log was deleted while we used it.
func isGone(err error) bool {
	return errors.Is(err, errGone) || wire.Code(err) == amqp.NotFound || isWithoutReplica(err)
}

// isWithoutReplica is how RabbitMQ answers where this node has no copy of the stream, and
// for a moment while the stream is deleted.
func isWithoutReplica(err error) bool {
	return wire.Code(err) == amqp.PreconditionFailed && strings.Contains(err.Error(), "replica")
}

// explain makes an error for the caller. It leaves nil, and errors that say enough.
func (l *Log) explain(doing string, err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	refusal := &fault.Error{
		Kind: fault.ErrNotALock,
		Text: fmt.Sprintf("cannot %s the history %q on %s: %s",
			doing, l.queue, l.conn.Broker, wire.OneLine(err)),
		Err: err,
	}
	switch code := wire.Code(err); {
	case code == amqp.NotFound || errors.Is(err, errGone):
		refusal.Kind = fault.ErrNotFound
		refusal.Text = fmt.Sprintf("there is no history %q on %s", l.queue, l.conn.Broker)
		refusal.Hint = "a lock has one once a run with --history has held it"
	case errors.Is(err, errNoToken):
		refusal.Hint = fmt.Sprintf("somebody has forged a record: amqprun destroy deletes the lock "+
			"with its history, rabbitmqctl delete_queue %q the history alone: %s",
			l.queue, wire.Manual+"explanation/history.md#what-is-promised")
	case isWithoutReplica(err):
		refusal.Kind = fault.ErrUnreachable
		refusal.Hint = "the stream has no replica on this node: rabbitmq-streams add_replica"
	case code == amqp.PreconditionFailed && isWithoutStreams(err):
		refusal.Hint = "streams need RabbitMQ 3.9 or later, with its feature flag stream_queue"
	case code == amqp.PreconditionFailed, code == amqp.ResourceLocked, errors.Is(err, errNoStream):
		refusal.Hint = "amqprun has not made the queue of that name: delete it, " +
			"or name the lock differently"
	default:
		return wire.Refused(l.conn.Broker, fmt.Sprintf("%s the history %q", doing, l.queue), err)
	}
	return refusal
}

func isWithoutStreams(err error) bool {
	return strings.Contains(err.Error(), "invalid arg 'x-queue-type'") ||
		strings.Contains(err.Error(), "feature flag")
}
