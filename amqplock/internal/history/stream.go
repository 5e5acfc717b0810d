package history

import (
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
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

// stream is the queue that a log is, as one lock sees it over one publish connection. It
// is declared and read here.
type stream struct {
	conn  *wire.Conn
	kind  wire.Kind
	queue string

	silence time.Duration // after which each begins to read anew
}

// usualSilence is that of each. A new reader costs the broker three requests.
const usualSilence = 10 * time.Second

// declare also proves that a queue of that name is a log: with other arguments the broker
// answers 406, and for an exclusive queue 405.
func (s *stream) declare(channel *wire.Channel) error {
	_, err := channel.QueueDeclare(s.queue, true, false, false, false, logArgs())
	return err
}

// find is declare for a log that has to exist.
func (s *stream) find(channel *wire.Channel) error {
	_, err := channel.QueueDeclarePassive(s.queue, true, false, false, false, nil)
	if err != nil {
		return err
	}
	return s.declare(channel)
}

// isFragile reports whether the broker may end the connection where it means that there
// is no log.
func (s *stream) isFragile() bool { return wire.FragileAbsence(s.conn.Config.Vhost, s.queue) }

// explain makes an error for the caller. It leaves nil, and errors that say enough.
func (s *stream) explain(doing string, err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	refusal := &fault.Error{
		Kind: fault.ErrNotALock,
		Text: fmt.Sprintf("cannot %s the history %q on %s: %s",
			doing, s.queue, s.conn.Broker, wire.OneLine(err)),
		Err: err,
	}
	slow := (*slowError)(nil)
	switch code := wire.Code(err); {
	case errors.As(err, &slow):
		refusal.Kind = fault.ErrUnreachable
	case code == amqp.NotFound || errors.Is(err, errGone):
		refusal.Kind = fault.ErrNotFound
		refusal.Text = fmt.Sprintf("there is no history %q on %s", s.queue, s.conn.Broker)
		refusal.Hint = "a lock has one once a run with --history has held it"
	case errors.Is(err, errNoToken):
		refusal.Hint = fmt.Sprintf("somebody has forged a record: amqprun destroy deletes the lock "+
			"with its history, rabbitmqctl delete_queue %q the history alone: %s",
			s.queue, wire.Manual+"explanation/history.md#what-is-promised")
	case isWithoutReplica(err):
		refusal.Kind = fault.ErrUnreachable
		refusal.Hint = "the stream has no replica on this node: rabbitmq-streams add_replica"
	case isWithoutStreams(err):
		refusal.Hint = "streams need RabbitMQ 3.9 or later, with its feature flag stream_queue"
	case code == amqp.InternalError && s.isFragile():
		refusal.Kind = fault.ErrNotFound
		refusal.Text = fmt.Sprintf("there is no history %q on %s, or it does not answer: "+
			"the broker fails to say which", s.queue, s.conn.Broker)
	case code == amqp.PreconditionFailed, code == amqp.ResourceLocked, errors.Is(err, errNoStream):
		refusal.Hint = "amqprun has not made the queue of that name: delete it, " +
			"or name the lock differently"
	default:
		return wire.Refused(s.conn.Broker, fmt.Sprintf("%s the history %q", doing, s.queue), err)
	}
	return refusal
}

// isWithoutStreams is how RabbitMQ answers before 3.9 (406), and with that feature flag
// off (541). The flag is named at the end of the text, which is cut off where the lock's
// name is long. Other failures to declare a queue do not name its type.
func isWithoutStreams(err error) bool {
	switch wire.Code(err) {
	case amqp.PreconditionFailed:
		return strings.Contains(err.Error(), "invalid arg 'x-queue-type'")
	case amqp.InternalError:
		return strings.Contains(err.Error(), "Cannot declare a queue ") &&
			strings.Contains(err.Error(), "' of type '")
	}
	return false
}

// concerns reports whether an entry is a grant or an end of this lock: a mutex and a
// semaphore of one name share a log.
func (s *stream) concerns(e entry) bool {
	return e.record != nil && e.record.Kind == s.kind &&
		(e.record.Type == TypeGrant || e.record.Type == TypeEnd)
}
