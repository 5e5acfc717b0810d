package locker

import (
	"context"
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// TestNoAnswerIsNoLock: a queue that was not seen to be exclusive may be a work queue. A
// waiter would wait for ever for that.
func TestNoAnswerIsNoLock(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	link := &wire.Link{Pair: wire.Pair{Lock: &wire.Conn{}}}
	lock := wire.Ref{Kind: wire.Mutex, Name: "m"}
	refused := &amqp.Error{Code: amqp.ResourceLocked, Server: true}
	looked := false
	err := notGranted(ctx, link, lock, "m", refused, &looked)
	if !errors.Is(err, fault.ErrBusy) || looked {
		t.Errorf("got %v, looked: %v", err, looked)
	}
}
