package lease

import (
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// Clock is the time by which leases run. It must count the time in which the machine is
// suspended, which Go's monotonic clock does not: the broker's clock goes on.
type Clock interface {
	Now() time.Duration // since an arbitrary start
	NewAlarm() (Alarm, error)
}

// Alarm is a one-shot timer on a Clock.
type Alarm interface {
	Set(at time.Duration) // replaces an earlier setting; a past instant fires at once
	C() <-chan struct{}   // receives when the alarm fires; perhaps once too often
	Stop()                // releases it; C receives no more
}

// BootClock is the Clock of the kernel.
type BootClock struct{}

// Now is sys.Boottime.
func (BootClock) Now() time.Duration { return sys.Boottime() }
