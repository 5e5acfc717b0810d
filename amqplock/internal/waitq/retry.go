package waitq

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
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
// last will comes a few milliseconds before the broker has removed the dead holder's
// queue. Any other hint may have taken its place.
var afterHint = []time.Duration{
	2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	20 * time.Millisecond, 100 * time.Millisecond,
}

// nextRetry is when to try without a hint.
func (w *Waiter) nextRetry(place *Place, slow backoff.BackOff) time.Duration {
	if len(w.soon) > 0 {
		d := w.soon[0]
		w.soon = w.soon[1:]
		return d
	}
	d := slow.NextBackOff()
	if place != nil && !w.first && w.ahead > 0 {
		d = max(d, min(max(d, retryGrowth*w.Retry)*time.Duration(w.ahead+1), rareRetry))
	}
	return d
}

// mayBeEarly reports whether what the hint is about may be true in a few milliseconds. A
// waiter that took a slot passes its hint on, and there it is in vain as a rule.
func mayBeEarly(hint amqp.Delivery) bool {
	_, crashed := hint.Headers["x-death"]
	return crashed || !hint.Redelivered
}

// nudge has the first in the queue try: one of those behind it would overtake it by a try
// of its own. It reports whether that can work: the broker has taken the hint, and is in
// no alarm.
func (w *Waiter) nudge(ctx context.Context) bool {
	missing, sure := w.Link.MissingNow(ctx, wire.WaitQueue(w.Lock.Name)) // the question is a hint
	return sure && !missing
}
