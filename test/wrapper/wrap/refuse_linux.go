package wrap

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refuse makes the kernel answer ENOSYS to these system calls, in this process and in
// all its descendants. An older kernel does so, and some sandboxes do.
func refuse(calls ...uint32) error {
	const load, equal, give = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS,
		unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{{Code: load, K: 0}} // the number of the call
	for _, call := range calls {
		filter = append(filter,
			unix.SockFilter{Code: equal, K: call, Jf: 1},
			unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
	}
	filter = append(filter, unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Both calls are for the thread; TSYNC makes them count for all others too.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// asOldKernel refuses what Linux 5.2 and older do not have.
func asOldKernel() error {
	return refuse(unix.SYS_CLOSE_RANGE, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL)
}
