//go:build unix && !linux

// Package sys holds what several packages need of the kernel and Go does not offer.
package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime reads CLOCK_MONOTONIC. It goes on while the machine is suspended on macOS,
// but not on FreeBSD.
func Boottime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}
