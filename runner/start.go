package runner

import (
	"runtime"
	"syscall"
)

// start executes the command as the leader of a new process group, in the background of the terminal. When it returns the
// group exists and can be signalled: ForkExec answers after the child's exec, which comes after its setpgid. The caller calls release
// when the command has ended.
func (c *Command) start() (pid int, release func(), err error) {
	path, err := lookup(c.Args[0])
	if err != nil {
		return 0, nil, err
	}
	// The parent-death signal comes when the *thread* that started the child dies, so this goroutine keeps its thread
	// for as long as the command lives.
	type answer struct {
		pid int
		err error
	}
	started, done := make(chan answer, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		// Descriptors of ours are close-on-exec; those we have inherited beyond 2 reach the command, as they do under flock(1).
		pid, err := syscall.ForkExec(path, c.Args, &syscall.ProcAttr{Env: c.Env, Files: []uintptr{0, 1, 2}, Sys: childAttributes()})
		started <- answer{pid, err}
		if err == nil {
			<-done
		}
	}()
	a := <-started
	if a.err != nil {
		return 0, nil, startError(path, a.err)
	}
	return a.pid, func() { close(done) }, nil
}
