package history

import (
	"errors"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// A broker that has no streams is no broker that is away: nobody has to try again.
func TestABrokerWithoutStreams(t *testing.T) {
	t.Parallel()
	s := stream{conn: &wire.Conn{Broker: "broker"}, kind: wire.Mutex, queue: "x-L"}
	for release, answer := range map[string]amqp.Error{
		"3.8": {Code: amqp.PreconditionFailed, Reason: "PRECONDITION_FAILED - invalid arg " +
			"'x-queue-type' for queue 'x-L' in vhost '/': \"unsupported queue type 'stream'\""},
		"3.10, upgraded": {Code: amqp.InternalError, Reason: "INTERNAL_ERROR - Cannot declare a " +
			"queue 'queue 'x-L' in vhost '/'' of type 'rabbit_stream_queue' on node 'rabbit@x': " +
			"the corresponding feature flag is disabled"},
		"3.10, upgraded, with a long name": {Code: amqp.InternalError, Reason: "INTERNAL_ERROR - " +
			"Cannot declare a queue 'queue '" + strings.Repeat("x", 100) + "-L' in vhost '/'' of " +
			"type 'rabbit_stream_queue' on node 'rabbit@broker1': the corresponding feature flag..."},
	} {
		answer.Server = true
		err := s.explain("write to", &answer)
		var explained *fault.Error
		if !errors.Is(err, fault.ErrNotALock) || !errors.As(err, &explained) ||
			!strings.Contains(explained.Hint, "streams need RabbitMQ 3.9 or later") {
			t.Errorf("%s: %v", release, err)
		}
	}
}

// RabbitMQ 4.3 ends a connection that asks about a log that does not exist. It does so
// if the name is as long as this one and not ASCII.
func TestALogOfALongName(t *testing.T) {
	t.Parallel()
	name := (testbroker.Name() + "ü" + strings.Repeat("x", 225))[:225]
	log := func() *Log { return New(testConn(t), wire.Ref{Kind: wire.Mutex, Name: name}) }
	if _, err := log().Runs(deadline(t), 10); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
	l := log()
	t.Cleanup(func() { deleteQueue(t, l) })
	first := mustGrant(t, l, "a")
	if second := mustGrant(t, log(), "b"); second.Token <= first.Token {
		t.Errorf("token %d behind %d", second.Token, first.Token)
	}
	if runs, err := log().Runs(deadline(t), 10); err != nil || len(runs) != 2 {
		t.Errorf("%+v, %v; want two runs", runs, err)
	}
}
