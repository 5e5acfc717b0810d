package history

import (
	"context"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// One that does not get the lock gives up the opening of its log at any moment. Its
// connection has other users: a request that is sent behind the end of its channel would
// cost them the connection.
func TestAnOpeningThatIsGivenUpLeavesTheConnectionAlone(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	mustGrant(t, l, "a")
	for i := range 200 {
		ctx, cancel := context.WithTimeout(deadline(t), time.Duration(i)*20*time.Microsecond)
		if tail, err := l.Open(ctx); err == nil {
			tail.Close()
		}
		cancel()
	}
	mustGrant(t, l, "b")
}

// A process that was starved finds a message, and that the time for it is over. It may be
// the sign of life of a holder.
func TestAMessageThatIsThereIsNotLate(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	messages := make(chan amqp.Delivery, 1)
	for range 100 {
		messages <- amqp.Delivery{MessageId: "sign"}
		if got, err := receive(ctx, nil, messages); err != nil || got.MessageId != "sign" {
			t.Fatalf("got %q, %v", got.MessageId, err)
		}
	}
	if _, err := receive(ctx, nil, messages); err == nil {
		t.Error("received nothing, and no error")
	}
}
