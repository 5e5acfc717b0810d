package waitq

import (
	"context"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// WakeNext sends a hint to the first in the wait queue, as the question whether there is
// a queue. It reports the answer: whether somebody may have got the hint. In an alarm it
// does nothing.
func WakeNext(ctx context.Context, link *wire.Link, name string) (heard bool) {
	missing, err := link.Missing(ctx, wire.WaitQueue(name))
	if err != nil {
		link.Broker.Debugf("no hint to the next waiter, which will find out by itself: %v", err)
	}
	return err == nil && !missing
}
