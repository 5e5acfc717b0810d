package runner

import (
	"slices"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// sweep kills the tree until nothing is left. ECHILD proves that: we have no children,
// and orphaned descendants become our children. Against a chain of processes that fork,
// setsid and exit no reading of /proc is fast enough. But a link whose parent has ended
// is our child, and so is the next. Without a /proc of ours it cannot find these
// children, and gives up on them.
func (r *sweeper) sweep() {
	killed := sys.Boottime()
	r.leader.born() // before the leader is collected
	if r.frozen != nil {
		r.frozen.kill()
	}
	// Once is enough for the group: the kernel lets no fork slip past a pending SIGKILL.
	r.leader.signalGroup(syscall.SIGKILL)
	hit := make(map[int]bool)
	pause := time.Millisecond
	for {
		left, fresh := r.killChildren(hit)
		none := r.reapAll()
		if !none && !seesProcesses() {
			left = 1
		}
		switch {
		case none && !r.killMembers():
			return
		case fresh && !r.overdue(killed):
			pause = time.Millisecond
			continue
		case !none && left == 0 && r.onlyOthers() && !r.killMembers():
			// The guard is a child like any other, so the proof needs its end too.
			_ = r.c.Guard.Done()
			if len(children()) > 0 && r.onlyOthers() {
				return // there is no proof beside children from before the command
			}
			continue
		}
		if r.overdue(killed) {
			if left = max(left, len(r.tree().members())); left > 0 {
				r.giveUp(left)
			}
			return
		}
		r.waitForChild(pause)
		pause = min(2*pause, lookEvery)
	}
}

// killChildren kills all children but those from before the command, and guards. Ours is
// still needed. That of another amqprun in the tree ends when what it guards is dead.
// killChildren returns how many children there are, and whether one of them is new.
func (r *sweeper) killChildren(hit map[int]bool) (left int, fresh bool) {
	t := r.tree()
	for _, pid := range children() {
		if t.isGuard(pid) || r.leader.older(pid) {
			continue
		}
		left++
		fresh = fresh || !hit[pid]
		hit[pid] = true
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return left, fresh
}

// onlyOthers reports whether our guard and those from before the command are all our
// children.
func (r *sweeper) onlyOthers() bool {
	return !slices.ContainsFunc(children(), func(pid int) bool {
		return !r.c.Guard.is(pid) && !r.leader.older(pid)
	})
}

// killMembers kills the members of the tree that it sees, also those that are no
// descendants. It reports whether there are any, or may be.
func (r *sweeper) killMembers() (found bool) {
	t := r.tree()
	t.patient = true
	members, more := t.look()
	for _, p := range members {
		p.signal(syscall.SIGKILL)
	}
	return more || len(members) > 0
}

// reapAll collects all that has ended, the leader too, and reports whether no child is
// left.
func (r *sweeper) reapAll() (none bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG|syscall.WALL, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return true
		case pid == 0:
			return false
		case pid == r.leader.pid && !r.leader.collected:
			r.status.wait = status
			r.leader.ended, r.leader.collected = true, true
		default:
			r.c.Guard.collected(pid)
		}
	}
}
