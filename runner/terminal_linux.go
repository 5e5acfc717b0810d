package runner

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/internal/sys"
)

const (
	ioctlGetTermios = unix.TCGETS
	ioctlSetTermios = unix.TCSETS // TCSETSW would wait for output that Ctrl-S holds up
)

// blockTTOU blocks SIGTTOU in the calling thread until restore is called.
func blockTTOU() (restore func()) {
	set, old := sys.SignalSet(syscall.SIGTTOU), unix.Sigset_t{}
	_ = unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old)
	return func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }
}
