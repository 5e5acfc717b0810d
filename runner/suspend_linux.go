package runner

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/internal/sys"
)

// Suspend stops this process by s, a stop signal, with the default action. It returns
// when somebody has resumed the process, or at once if the kernel discards the stop (see
// Resumable). With everyone, the rest of the process group gets s too.
func Suspend(s syscall.Signal, everyone bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before sys.Action
	sys.SetAction(s, nil, &before)
	if everyone {
		signalOthers(s)
	}
	sys.SetAction(s, &sys.Action{}, nil)
	// The kernel stops us by a signal to the calling thread before the call returns.
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), s)
	sys.SetAction(s, &before, nil)
}

// interruptOthers sends SIGINT to the rest of the process group.
func interruptOthers() {
	var before sys.Action
	sys.SetAction(syscall.SIGINT, nil, &before)
	signalOthers(syscall.SIGINT)
	sys.SetAction(syscall.SIGINT, &before, nil)
}

// signalOthers sends s to the rest of the process group and leaves s ignored here. Any
// thread could take a signal to the process, at any time, and so stop us twice.
func signalOthers(s syscall.Signal) {
	sys.SetAction(s, &sys.Ignore, nil)
	_ = syscall.Kill(0, s)
	// The kernel keeps an ignored signal if the first thread has it blocked just then, as
	// in a handler. To ignore it once more discards it.
	sys.SetAction(s, &sys.Ignore, nil)
}

// Resumable reports whether a shell could resume us: a process of our session, outside
// our group, is the parent of a member of the group. Without one, and for process 1, the
// kernel discards SIGTSTP, SIGTTIN and SIGTTOU.
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
