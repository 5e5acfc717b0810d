package doctor

import (
	"context"
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// The levels of a finding.
const (
	OK      = "ok"
	Warning = "warning"
	Failure = "failure"
)

// Finding is the answer to one question. amqplock.Finding has the same fields in the same
// order, and documents them.
type Finding struct {
	Check, Level, Text, Fix string
	Err                     error // of a failure
}

// examination collects findings about one broker.
type examination struct {
	ctx      context.Context
	link     *wire.Link
	ref      wire.Ref
	findings []Finding
}

// connectAgain is for a connection that an answer of the broker has ended.
func (e *examination) connectAgain() error {
	again, err := wire.Connect(e.ctx, e.link.Broker)
	if err == nil {
		e.link.Close()
		e.link = again
	}
	return err
}

func (e *examination) add(f Finding) { e.findings = append(e.findings, f) }

func (e *examination) user() string {
	if e.link.Lock.User == "" {
		return "the certificate"
	}
	return "user " + e.link.Lock.User
}

func failed(check string, err error) Finding {
	f := Finding{Check: check, Level: Failure, Text: err.Error(), Err: err}
	var known *fault.Error
	if errors.As(err, &known) {
		f.Fix = known.Hint
	}
	return f
}

// do asks on the lock connection.
func (e *examination) do(doing string, f func(*amqp.Channel) error) error {
	return e.link.Timed(e.ctx, doing, func() error { return e.link.Requests.Do(f) })
}

// answered is nil for every answer of the broker: then it has allowed the question.
func answered(err error) error {
	if code := wire.Code(err); code >= 400 && code < 500 && code != amqp.AccessRefused {
		return nil
	}
	return err
}
