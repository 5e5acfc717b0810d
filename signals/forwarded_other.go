//go:build unix && !linux

package signals

import "syscall"

var (
	commonHere = []syscall.Signal{syscall.SIGINFO}
	realTime   []syscall.Signal
)
