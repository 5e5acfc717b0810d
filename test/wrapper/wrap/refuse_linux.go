package wrap

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refuse makes the kernel answer ENOSYS to these system calls, and EINVAL to waitid(2)
// with __WALL, in this process and in all its descendants. An older kernel does so, and
// some sandboxes do.
func refuse(calls ...uint32) error {
	const load, equal, set, give = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS,
		unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K,
		unix.BPF_RET | unix.BPF_K
	const number, options = 0, 16 + 3*8 // of struct seccomp_data, on a little-endian machine
	filter := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_WAITID, Jf: 4},
		{Code: load, K: options},
		{Code: set, K: unix.WALL, Jf: 1},
		{Code: give, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)},
		{Code: load, K: number},
	}
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

// asOldKernel refuses what Linux 5.2 and older do not have, and what those before 4.7 do
// not.
func asOldKernel() error {
	return refuse(unix.SYS_CLOSE_RANGE, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL)
}
