//go:build unix && !linux

package runner

import (
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	ioctlGetTermios = unix.TIOCGETA
	ioctlSetTermios = unix.TIOCSETA
)

// blockTTOU ignores the signal until restore is called. The standard library offers no
// mask of a thread here. No command is started meanwhile, which would inherit that.
func blockTTOU() (restore func()) {
	signal.Ignore(syscall.SIGTTOU)
	return func() { signal.Reset(syscall.SIGTTOU) }
}
