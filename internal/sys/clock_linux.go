// Package sys holds what several packages need of the kernel and Go does not offer.
package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime reads CLOCK_BOOTTIME, which goes on while the machine is suspended.
func Boottime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail since Linux 2.6.39
	return time.Duration(ts.Nano())
}
