package amqplock

import "time"

// clock tells the time by which leases run. It must count the time that the machine is suspended, which Go's monotonic
// clock does not: the broker's clock goes on.
type clock interface {
	Now() time.Duration // since an arbitrary start
	NewAlarm() (alarm, error)
}

// alarm is a one-shot timer on a clock.
type alarm interface {
	Set(at time.Duration) // replaces an earlier setting; an instant in the past fires at once
	C() <-chan struct{}   // receives when the alarm fires; may receive once too often
	Stop()                // releases it; C receives no more
}
