package signals

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/internal/sys"
)

// DieOf ends this process by s with the default action and without a core file, so that
// the parent sees a death by signal. A shell ends its loop after a real death by SIGINT
// and not after exit status 130. DieOf returns only when the kernel did not kill the
// process: it spares process 1, and s may not be deadly. The caller then exits with
// 128+n.
func DieOf(s syscall.Signal) {
	sys.SetAction(s, &sys.Action{}, nil)
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set := sys.SignalSet(s)
	_ = unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
	// The kernel acts on a signal to the calling thread before the call returns.
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), s)
}
