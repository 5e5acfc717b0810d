// Package sys is what several packages need of the kernel.
package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is CLOCK_BOOTTIME, the time since the start of the machine. It counts the time in
// which the machine is suspended, and nobody can set it. Leases and deadlines run on it.
func Boottime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail since Linux 2.6.39
	return time.Duration(ts.Nano())
}
