package runner

import (
	"errors"
	"runtime"
	"syscall"
)

// start executes the command as the leader of a new process group. When it returns, the
// group exists and can be signalled: ForkExec answers after the child's exec, which comes
// after its setpgid. The caller calls release when the command has ended.
func (c *Command) start() (pid int, release func(), err error) {
	path, err := Lookup(c.Args[0])
	if err != nil {
		return 0, nil, err
	}
	// The parent-death signal comes when the *thread* that started the child dies, so this
	// goroutine keeps its thread for as long as the command lives.
	type answer struct {
		pid int
		err error
	}
	started, done := make(chan answer, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		pid, err := c.execute(path)
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

// execute executes the file. One that the kernel does not know how to execute is a script for
// /bin/sh, as for execvp(3).
func (c *Command) execute(path string) (pid int, err error) {
	// Our own descriptors are close-on-exec. The command gets those beyond 2 that we have
	// inherited, as it does under flock(1).
	attributes := &syscall.ProcAttr{
		Env: c.Env, Files: []uintptr{0, 1, 2}, Sys: childAttributes(),
	}
	pid, err = syscall.ForkExec(path, c.Args, attributes)
	if errors.Is(err, syscall.ENOEXEC) {
		const shell = "/bin/sh"
		script := append([]string{shell, path}, c.Args[1:]...)
		pid, err = syscall.ForkExec(shell, script, attributes)
	}
	return pid, err
}
