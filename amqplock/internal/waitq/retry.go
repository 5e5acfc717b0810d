package waitq

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A waiter also tries without a hint, now and then: for locks that are released without
// one, and for hints that were lost. The first in the queue does so at intervals from
// FirstRetry to LastRetry. The others may have become the first without notice, but let
// the first try. They share its last rate, since many may have joined at the same time,
// up to an interval of rareRetry each. So the broker has no more to do where many wait.
const (
	FirstRetry  = 500 * time.Millisecond
	retryGrowth = 10
	LastRetry   = retryGrowth * FirstRetry
	rareRetry   = 5 * time.Minute
)

// afterHint are the pauses before the first tries after a hint in vain. The hint of a
// last will comes before the broker has removed the dead holder's queue. That takes a few
// milliseconds, and on a busy machine a second. Any other hint may have taken its place.
var afterHint = []time.Duration{
	2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// mayBeEarly reports whether what the hint is about may be true in a few milliseconds. A
// waiter that took a slot passes its hint on, and there it is in vain as a rule.
func mayBeEarly(hint amqp.Delivery) bool {
	_, crashed := hint.Headers["x-death"]
	return crashed || !hint.Redelivered
}
