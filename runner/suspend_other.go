//go:build unix && !linux

package runner

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Suspend stops this process and returns when it has been resumed. With everyone, the
// rest of the process group gets s. The process itself is stopped by SIGSTOP, because the
// default action of s cannot be restored here. Do not call Suspend when Resumable is
// false.
func Suspend(s syscall.Signal, everyone bool) {
	if everyone {
		_ = syscall.Kill(0, s)
	}
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGSTOP)
}

// interruptOthers does nothing: a signal that passes us by cannot be sent here.
func interruptOthers() {}

// Resumable reports whether our parent is a shell that could resume us.
func Resumable() bool {
	parent := unix.Getppid()
	theirs, err1 := unix.Getsid(parent)
	ours, err2 := unix.Getsid(0)
	return err1 == nil && err2 == nil && theirs == ours && ours != unix.Getpid()
}
