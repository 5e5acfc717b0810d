package runner

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// look sees what SIGCHLD may have announced of the command: its stop, or its end. During
// a pause it leaves a stop alone. The kernel reports that afterwards, unless thaw has
// ended it.
func (r *family) look(ctx context.Context) {
	if pid, status, _ := waitid(unix.P_PID, r.leader.pid, unix.WEXITED|unix.WNOWAIT); pid != 0 {
		r.leader.ended, r.status.wait = true, status
		return
	}
	if r.frozen != nil {
		return
	}
	if pid, status, _ := waitid(unix.P_PID, r.leader.pid, unix.WSTOPPED); pid != 0 {
		r.commandStopped(ctx, status.StopSignal())
	}
}

// reap collects the other children that have ended, and replaces the guard if it was one.
func (r *family) reap() {
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
func (r *family) reapOne(kind, id int) bool {
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
func (r *family) collect() {
	if !r.leader.collected {
		r.status.wait, _ = collect(r.leader.pid)
		r.leader.ended, r.leader.collected = true, true
	}
}

func (r *family) tree() tree {
	t := tree{root: os.Getpid(), id: r.c.ID, born: r.leader.born(), guard: r.c.Guard}
	if r.stopping {
		t.unrelated = r.unrelated.recent()
	}
	if !r.leader.collected {
		t.pgid = r.leader.pid
	}
	return t
}

// gone reports whether the command has ended and no process of its tree can be seen.
func (r *family) gone() bool {
	r.look(context.Background())
	r.reap()
	if !r.leader.ended {
		return false
	}
	t := r.tree()
	for _, pid := range children() {
		if pid != r.leader.pid && !t.isGuard(pid) && !r.leader.older(pid) {
			return false
		}
	}
	return len(t.members()) == 0
}

// ReapOthers collects the orphans that process 1 gets, until stop is called. Run does so
// too, so call ReapOthers for the time before it. Call stop before Run, whose command it
// would collect. It does nothing in another process than 1, which gets no orphans of
// others.
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
