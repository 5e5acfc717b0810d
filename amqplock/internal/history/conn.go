package history

import (
	"context"
	"errors"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

var (
	errAlarm    = &wire.AlarmError{Reason: "memory or disk"}
	errGone     = errors.New("the log does not exist any more")
	errNoStream = errors.New("it is no stream")
	errRefused  = errors.New("the broker did not take the record")
)

// openChannel refuses at once in an alarm, in which the broker would not answer.
func openChannel(ctx context.Context, conn *wire.Conn) (*wire.Channel, error) {
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
