//go:build !linux

// Package sys is what several packages need of the kernel.
package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is CLOCK_MONOTONIC here, the nearest that there is. It does not count the time in
// which the machine is suspended, so a lease that ended meanwhile is noticed late.
func Boottime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}
