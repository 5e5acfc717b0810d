//go:build unix && !linux

package runner

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is the clock of Until: CLOCK_MONOTONIC, which goes on while the machine is suspended on macOS, but not on FreeBSD.
func Boottime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}
