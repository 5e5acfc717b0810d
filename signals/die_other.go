//go:build unix && !linux

package signals

import (
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// DieOf ends this process by s with the default action, so that the parent sees a death
// by signal. It returns only when the signal did not kill the process. The caller then
// exits with 128+n.
func DieOf(s syscall.Signal) {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	// After Reset the runtime's handler raises the signal again with the default action.
	signal.Reset(s)
	_ = syscall.Kill(syscall.Getpid(), s)
	<-time.After(100 * time.Millisecond) // another thread may be the one that takes it
}
