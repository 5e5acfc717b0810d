package runner

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// collect waits for the end of a child.
func collect(pid int) (status syscall.WaitStatus, err error) {
	for {
		_, err = syscall.Wait4(pid, &status, syscall.WALL, nil)
		if err != syscall.EINTR {
			return status, err
		}
	}
}

// childInfo is siginfo_t as waitid(2) fills it. Package unix does not name these fields.
type childInfo struct {
	signo, errno, code int32
	child              struct {
		_      [0]uintptr // the kernel aligns this union to a pointer
		pid    int32
		uid    uint32
		status int32
	}
	_ [112]byte
}

// waitid never blocks. It returns pid 0 when there is no such child yet, and ECHILD when
// there never will be. WALL would be for children without SIGCHLD, and we have none.
// Before 4.7 Linux does not know it here.
func waitid(kind, id, options int) (pid int, status syscall.WaitStatus, err error) {
	for {
		var info childInfo
		to := (*unix.Siginfo)(unsafe.Pointer(&info))
		err = unix.Waitid(kind, id, to, options|unix.WNOHANG, nil)
		if !errors.Is(err, syscall.EINTR) {
			return int(info.child.pid), info.waitStatus(), err
		}
	}
}

// waitStatus returns what wait4(2) would.
func (i *childInfo) waitStatus() syscall.WaitStatus {
	const exited, dumped, stopped = 1, 3, 5 // CLD_EXITED, CLD_DUMPED, CLD_STOPPED
	status := syscall.WaitStatus(i.child.status)
	switch i.code {
	case exited:
		return status << 8
	case dumped:
		return status | 0x80
	case stopped:
		return status<<8 | 0x7f
	}
	return status // the signal that has killed it
}
