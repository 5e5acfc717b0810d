package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Action is the kernel's struct sigaction, large enough for every architecture. The
// handler comes first. The zero value is the default action.
type Action [8]uintptr

// Ignore is the action SIG_IGN.
var Ignore = Action{1}

// SetAction sets the action of s if action is not nil, and stores the one before in old
// if old is not nil. Package os/signal cannot restore a default action: its Reset leaves
// the handler of the Go runtime in place.
func SetAction(s syscall.Signal, action, old *Action) {
	const sigsetSize = 8 // _NSIG/8 of the kernel; MIPS, which has 16, is not supported
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s),
		uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(old)), sigsetSize, 0, 0)
}

// SignalSet returns the set that holds s alone.
func SignalSet(s syscall.Signal) (set unix.Sigset_t) {
	const bits = int(unsafe.Sizeof(set.Val[0])) * 8
	set.Val[(int(s)-1)/bits] |= 1 << ((int(s) - 1) % bits)
	return set
}
