//go:build unix && !linux

package signals

import "syscall"

var forwardedHere = []syscall.Signal{syscall.SIGINFO}
