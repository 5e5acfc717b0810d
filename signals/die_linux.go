package signals

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DieOf ends this process by s with the signal's default action and without a core file, so that whoever waits for
// it sees a death by signal: a shell ends its loop after a real death by SIGINT, and not after exit status 130. It returns only when
// the kernel did not kill the process: it spares PID 1, and s may not be deadly. The caller then exits with 128+n.
func DieOf(s syscall.Signal) {
	// os/signal.Reset leaves the runtime's handler in place; only the kernel's own table restores the default action.
	// All zeroes is SIG_DFL without flags in the layout of every architecture.
	var deflt [8]uint64
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&deflt)), 0, kernelSigsetSize, 0, 0)
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var set unix.Sigset_t
	const bits = int(unsafe.Sizeof(set.Val[0])) * 8
	set.Val[(int(s)-1)/bits] |= 1 << ((int(s) - 1) % bits)
	_ = unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
	// Sent to this very thread the signal is acted upon before the call returns.
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), s)
}

// kernelSigsetSize is _NSIG/8 of the kernel: 64 signals (128 on MIPS, which is not supported).
const kernelSigsetSize = 8
