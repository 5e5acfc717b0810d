package runner

import (
	"errors"
	"runtime"
	"syscall"
)

// start executes the command as the leader of a new process group. When it returns, the
// group exists and can be signalled: ForkExec answers after the child's exec, which comes
// after its setpgid. The caller calls release when the command has ended.
//
// A command that may have the terminal gets it before its exec. Others start in the
// background and get it when they ask for it, by stopping on SIGTTIN or SIGTTOU. To
// give the foreground at the start would take it from the rest of a pipeline, and
// `amqprun seq 5000 | less` would hang.
func (r *shared) start() (release func(), err error) {
	path, err := search(r.c.Args[0]) // execve itself finds out about an interpreter
	if err != nil {
		return nil, err
	}
	pid, release, err := r.execute(path, r.c.Args)
	if errors.Is(err, syscall.ENOEXEC) {
		// The kernel does not know how to execute it, so it is a script for /bin/sh, as for
		// execvp(3).
		const shell = "/bin/sh"
		script := append([]string{shell, path}, r.c.Args[1:]...)
		pid, release, err = r.execute(shell, script)
	}
	if err != nil {
		return nil, startError(path, err)
	}
	r.leader.pid, r.status.Started = pid, true
	return release, nil
}

// execute executes a program from a thread that lives until release is called: the
// parent-death signal comes when the *thread* that started the child dies.
func (r *shared) execute(path string, args []string) (pid int, release func(), err error) {
	foreground := r.terminal.offer()
	type answer struct {
		pid int
		err error
	}
	started, done := make(chan answer, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		// Our own descriptors are close-on-exec. The command gets those beyond 2 that we
		// have inherited, as it does under flock(1).
		pid, err := syscall.ForkExec(path, args, &syscall.ProcAttr{
			Env: r.c.Env, Files: []uintptr{0, 1, 2}, Sys: childAttributes(foreground),
		})
		started <- answer{pid, err}
		if err == nil {
			<-done
		}
	}()
	a := <-started
	if a.err != nil {
		r.terminal.takeBack(0) // from a child that had it and could not be executed
		return 0, nil, a.err
	}
	return a.pid, func() { close(done) }, nil
}
