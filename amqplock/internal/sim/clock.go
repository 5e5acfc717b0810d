package sim

import (
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/lease"
)

// clock is a lease.Clock that goes with the time of the bubble. CLOCK_BOOTTIME does not.
type clock struct{ start time.Time }

// Now is never 0, which is what an alarm takes for "not set".
func (c clock) Now() time.Duration { return time.Hour + time.Since(c.start) }

// at is the instant of the bubble at which the clock shows that.
func (c clock) at(now time.Duration) time.Time { return c.start.Add(now - time.Hour) }

// NewAlarm uses a timer of the bubble.
func (c clock) NewAlarm() (lease.Alarm, error) {
	a := &alarm{clock: c, c: make(chan struct{}, 1)}
	a.timer = time.AfterFunc(time.Duration(1)<<62, a.ring)
	return a, nil
}

type alarm struct {
	clock clock
	timer *time.Timer
	c     chan struct{}
}

// Set replaces an earlier setting.
func (a *alarm) Set(at time.Duration) { a.timer.Reset(max(at-a.clock.Now(), 0)) }

// C receives when the alarm fires.
func (a *alarm) C() <-chan struct{} { return a.c }

// Stop releases it.
func (a *alarm) Stop() { a.timer.Stop() }

func (a *alarm) ring() {
	select {
	case a.c <- struct{}{}:
	default:
	}
}
