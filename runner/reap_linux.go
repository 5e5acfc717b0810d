package runner

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// leader is the command's own process, whose pid is also the id of its group.
//
// It is collected when its group has been signalled for the last time, and not before.
// Until then the pid, and with it the group's id, cannot belong to anybody else.
type leader struct {
	pid       int
	ended     bool
	collected bool
	born      uint64 // see run.born
}

// born returns when the command was started. It can be seen until the leader is
// collected.
func (r *run) born() uint64 {
	if r.leader.born == 0 && !r.leader.collected {
		p, _ := readProc(r.leader.pid)
		r.leader.born = p.start
	}
	return r.leader.born
}

// older reports whether a child of ours was there before the command.
func (r *run) older(pid int) bool {
	p, ok := readProc(pid)
	return ok && p.start < r.born()
}

// look sees what SIGCHLD may have announced of the command: its stop, or its end.
func (r *run) look(ctx context.Context) {
	if pid, _, _ := waitid(unix.P_PID, r.leader.pid, unix.WEXITED|unix.WNOWAIT); pid != 0 {
		r.leader.ended = true
		return
	}
	if pid, status, _ := waitid(unix.P_PID, r.leader.pid, unix.WSTOPPED); pid != 0 {
		r.commandStopped(ctx, syscall.Signal(status))
	}
}

// reap collects the other children that have ended, and replaces the guard if it was one.
func (r *run) reap() {
	if r.leader.ended && !r.leader.collected {
		// To wait for any child would only ever show the leader's zombie, which has to stay.
		for _, pid := range children() {
			if pid != r.leader.pid {
				r.reapOne(unix.P_PID, pid)
			}
		}
		return
	}
	for r.reapOne(unix.P_ALL, 0) {
	}
}

// reapOne collects a child that has ended, but not the leader.
func (r *run) reapOne(kind, id int) bool {
	pid, _, err := waitid(kind, id, unix.WEXITED|unix.WNOWAIT)
	if err != nil || pid == 0 || pid == r.leader.pid && !r.leader.collected {
		return false
	}
	_, _, _ = waitid(unix.P_PID, pid, unix.WEXITED)
	if lived, ours := r.c.Guard.collected(pid); ours {
		r.guardEnded(lived)
	}
	return true
}

// collect takes the command's exit status. From here on its group must not be signalled.
func (r *run) collect() {
	if !r.leader.collected {
		r.status.wait, _ = collect(r.leader.pid)
		r.leader.ended, r.leader.collected = true, true
	}
}

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
// there never will be.
func waitid(kind, id, options int) (pid int, status int32, err error) {
	for {
		var info childInfo
		to := (*unix.Siginfo)(unsafe.Pointer(&info))
		err = unix.Waitid(kind, id, to, options|unix.WNOHANG|unix.WALL, nil)
		if !errors.Is(err, syscall.EINTR) {
			return int(info.child.pid), info.child.status, err
		}
	}
}

// ReapOthers collects the orphans that process 1 gets, until stop is called. Run does so
// too, so call ReapOthers for the time before it. It does nothing in another process than
// 1, which gets no orphans of others.
func ReapOthers() (stop func()) {
	if os.Getpid() != 1 {
		return func() {}
	}
	ended, stopped := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		defer close(stopped)
		for range ended {
			for _, pid := range children() {
				_, _, _ = waitid(unix.P_PID, pid, unix.WEXITED)
			}
		}
	}()
	return func() {
		signal.Stop(ended)
		close(ended)
		<-stopped
	}
}
