package wire

import (
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Verdict is what the answer to a check proves.
type Verdict int

// The verdicts.
const (
	Unknown Verdict = iota // nothing: the lease runs
	Held                   // the lock is ours
	Lost                   // it is not
)

// Code returns the AMQP reply code of err, or 0.
func Code(err error) int {
	if reply := replyOf(err); reply != nil {
		return reply.Code
	}
	return 0
}

// replyOf is what the broker has answered, or nil.
func replyOf(err error) *amqp.Error {
	var e *amqp.Error
	if errors.As(err, &e) && e != nil && e.Server {
		return e
	}
	return nil
}

// Ownership judges the passive declare of the own exclusive queue by its own connection.
func Ownership(err error) Verdict {
	switch {
	case err == nil:
		return Held
	case Code(err) == amqp.NotFound, Code(err) == amqp.ResourceLocked: // gone; somebody else's
		return Lost
	}
	return Unknown // 403 after a change of permissions, a dead connection, ...
}

// SlotStands judges basic.get on the slot's own queue. A 404 says that the slot was
// removed only with the text "no queue". "down or inaccessible", "crashed" and
// "timeout" say that the broker does not know.
func SlotStands(err error) Verdict {
	switch {
	case err == nil:
		return Held
	case Absent(err):
		return Lost
	}
	return Unknown
}

// Majority judges basic.get on the witness. No error answer proves that the lock is lost:
// a witness that does not exist is declared again.
func Majority(err error) Verdict {
	if err == nil {
		return Held
	}
	return Unknown
}

// Concerns reports whether an answer of the broker is about queue: its texts name the
// queue in quotes.
func Concerns(err error, queue string) bool {
	reply := replyOf(err)
	return reply != nil && strings.Contains(reply.Reason, "'"+queue+"'")
}

// Absent distinguishes a queue that does not exist from one that cannot be reached.
func Absent(err error) bool {
	reply := replyOf(err)
	return reply != nil && reply.Code == amqp.NotFound && strings.Contains(reply.Reason, "no queue")
}

// OneLine is the text of an error. RabbitMQ prints its own state over several lines when
// it fails.
func OneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// ConnectionLost gives the reason of a connection that ended by itself.
func ConnectionLost(why *amqp.Error) error {
	switch {
	case why == nil:
		return errors.New("the connection was closed")
	case why.Server:
		return fmt.Errorf("the broker closed the connection: %s (%d)",
			strings.Join(strings.Fields(why.Reason), " "), why.Code)
	}
	return fmt.Errorf("the connection broke: %s", why.Reason)
}
