package runner

import (
	"context"
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// leader is the command's own process, whose pid is also the id of its group.
//
// It is not collected when it ends, but when its group has been signalled for the last time: until then the pid, and with it the
// group's id, cannot belong to anybody else.
type leader struct {
	pid       int
	ended     bool
	collected bool
	born      uint64 // see run.born
}

// childInfo is siginfo_t as waitid(2) fills it.
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

// waitid never blocks. It returns pid 0 when there is nothing of the kind, and ECHILD when there never will be.
func waitid(kind, id, options int) (info childInfo, err error) {
	for {
		info = childInfo{}
		err = unix.Waitid(kind, id, asSiginfo(&info), options|unix.WNOHANG|unix.WALL, nil)
		if !errors.Is(err, syscall.EINTR) {
			return info, err
		}
	}
}

// look sees what SIGCHLD may have announced of the command: its stop, or its end.
func (r *run) look(ctx context.Context) {
	if info, _ := waitid(unix.P_PID, r.leader.pid, unix.WEXITED|unix.WNOWAIT); info.child.pid != 0 {
		r.leader.ended = true
	} else if info, _ := waitid(unix.P_PID, r.leader.pid, unix.WSTOPPED); info.child.pid != 0 {
		r.commandStopped(ctx, syscall.Signal(info.child.status))
	}
}

// reap collects the others that have ended.
func (r *run) reap() {
	if r.leader.ended && !r.leader.collected {
		// Its zombie, which has to stay, would be all that waiting for any child ever shows.
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

// reapOne collects an orphan that has ended.
func (r *run) reapOne(kind, id int) bool {
	info, err := waitid(kind, id, unix.WEXITED|unix.WNOWAIT)
	pid := int(info.child.pid)
	if err != nil || pid == 0 || pid == r.leader.pid && !r.leader.collected {
		return false
	}
	_, _ = waitid(unix.P_PID, pid, unix.WEXITED)
	r.c.Guard.ended(pid, r.warnf)
	return true
}

// collect takes the command's exit status. From here on its group must not be signalled any more.
func (r *run) collect() {
	if r.leader.collected {
		return
	}
	for {
		_, err := syscall.Wait4(r.leader.pid, &r.status.wait, syscall.WALL, nil)
		if err != syscall.EINTR {
			break
		}
	}
	r.leader.ended, r.leader.collected = true, true
}
