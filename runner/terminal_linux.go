package runner

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ioctlGetTermios = unix.TCGETS
	ioctlSetTermios = unix.TCSETSW // after the output written so far
)

// blockTTOU blocks SIGTTOU in the calling thread until restore is called.
func blockTTOU() (restore func()) {
	set, old := signalSet(syscall.SIGTTOU), unix.Sigset_t{}
	_ = unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old)
	return func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }
}

func signalSet(s syscall.Signal) (set unix.Sigset_t) {
	const bits = int(unsafe.Sizeof(set.Val[0])) * 8
	set.Val[(int(s)-1)/bits] |= 1 << ((int(s) - 1) % bits)
	return set
}
