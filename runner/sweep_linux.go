package runner

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// gone reports whether the command has ended and no process of its tree can be seen.
func (r *run) gone() bool {
	r.look(context.Background())
	r.reap()
	if !r.leader.ended {
		return false
	}
	for _, pid := range children() {
		if pid != r.leader.pid && !isGuard(pid) && !r.older(pid) {
			return false
		}
	}
	return len(r.tree().members()) == 0
}

// sweep kills the tree until nothing is left, which is proved by ECHILD: we have no children, and orphaned descendants
// become our children. Against a chain of processes that fork, setsid and exit no reading of /proc is fast enough; but a link whose
// parent has ended is our child, and so is the next.
func (r *run) sweep() {
	killed := sys.Boottime()
	r.born() // before the leader is collected
	// Once is enough for the group: the kernel lets no fork slip past a pending SIGKILL.
	r.signalGroup(syscall.SIGKILL)
	hit := make(map[int]bool)
	pause := time.Millisecond
	for {
		left, fresh := r.killChildren(hit)
		none := r.reapAll()
		switch {
		case none && !r.killMembers():
			return
		case fresh && !r.overdue(killed):
			pause = time.Millisecond
			continue
		case !none && left == 0 && r.onlyOthers() && !r.killMembers():
			// Whether nothing else is left is known when the guard, a child like any other, has ended too.
			_ = r.c.Guard.Done()
			if len(children()) > 0 && r.onlyOthers() {
				return // with those who were there before the command there never is a proof
			}
			continue
		}
		if r.overdue(killed) {
			r.giveUp(left)
			return
		}
		r.waitForChild(pause)
		pause = min(2*pause, lookEvery)
	}
}

// killChildren kills all children but those that were there before the command, and guards: ours is still needed, and that of another amqprun in
// the tree ends by itself, when what it guards is dead. It returns how many there are, and whether one of them is new.
func (r *run) killChildren(hit map[int]bool) (left int, fresh bool) {
	for _, pid := range children() {
		if isGuard(pid) || r.older(pid) {
			continue
		}
		left++
		fresh = fresh || !hit[pid]
		hit[pid] = true
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return left, fresh
}

// onlyOthers reports whether we have no children but our guard and those that were there before the command.
func (r *run) onlyOthers() bool {
	return !slices.ContainsFunc(children(), func(pid int) bool { return !r.c.Guard.is(pid) && !r.older(pid) })
}

// killMembers kills what it can see of the tree, which may include processes that are no descendants of ours.
func (r *run) killMembers() (found bool) {
	members := r.tree().members()
	for _, p := range members {
		p.signal(syscall.SIGKILL)
	}
	return len(members) > 0
}

// reapAll collects all that has ended, the leader too, and reports whether no child is left.
func (r *run) reapAll() (none bool) {
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
			r.c.Guard.reaped(pid)
		}
	}
}

// giveUp reports what cannot be killed.
func (r *run) giveUp(left int) {
	r.status.Unfinished = true
	if !r.leader.collected {
		r.status.wait = syscall.WaitStatus(syscall.SIGKILL) // what it will die of when the kernel lets it
	}
	r.warnf("%d processes of the command do not die of SIGKILL and may still be running", max(left, len(r.tree().members())))
}

// waitForChild returns when a child has ended, and after d at the latest.
func (r *run) waitForChild(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.children:
	case <-timer.C:
	}
}
