package runner

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Suspend stops this process by s, a stop signal, with the default action, and returns when it has been resumed, or at
// once if the kernel discards the stop (see Resumable). With everyone the rest of the process group gets s too.
func Suspend(s syscall.Signal, everyone bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Only the kernel's own table knows the default action: os/signal.Reset leaves the runtime's handler where it is.
	var runtimes, deflt sigaction
	setAction(s, nil, &runtimes)
	if everyone {
		signalOthers(s)
	}
	setAction(s, &deflt, nil)
	// Sent to this very thread the signal has stopped us when the call returns, and we have been resumed.
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), s)
	setAction(s, &runtimes, nil)
}

// signalOthers sends s to the rest of the process group, and leaves s ignored: so it passes us by. A signal to the process could be taken by any
// thread, at any time, and so stop us twice.
func signalOthers(s syscall.Signal) {
	ignore := sigaction{1} // SIG_IGN
	setAction(s, &ignore, nil)
	_ = syscall.Kill(0, s)
	// The kernel keeps a signal that is ignored if the first thread has it blocked just then, as in a handler. This discards it.
	setAction(s, &ignore, nil)
}

// sigaction is the kernel's struct of that name, large enough for every architecture; the handler comes first, and all
// zeroes are the default action.
type sigaction [8]uintptr

func setAction(s syscall.Signal, action, old *sigaction) {
	const kernelSigsetSize = 8
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(old)), kernelSigsetSize, 0, 0)
}

// Resumable reports whether a shell could resume us: somebody of our session, outside our group, is the parent of somebody in the
// group. If nobody is, or if we are init, the kernel discards SIGTSTP, SIGTTIN and SIGTTOU.
func Resumable() bool {
	self, ok := readProc(os.Getpid())
	for p := self; ok && p.ppid > 0; {
		var parent proc
		if parent, ok = readProc(p.ppid); ok && parent.pgrp != self.pgrp {
			return parent.session == self.session
		}
		p = parent
	}
	return false
}
