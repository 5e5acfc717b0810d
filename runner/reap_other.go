//go:build unix && !linux

package runner

import (
	"context"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// leader is the command's own process. It is collected as soon as it ends: these systems cannot look at a dead child without
// collecting it, so its group could, in theory, have a new owner when it is signalled after that.
type leader struct {
	pid       int
	ended     bool
	collected bool
}

func (r *run) look(ctx context.Context) {
	for !r.leader.collected {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(r.leader.pid, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil || pid == 0:
			return
		case status.Stopped():
			r.commandStopped(ctx, status.StopSignal())
		default:
			r.status.wait = status
			r.leader.ended, r.leader.collected = true, true
		}
	}
}

func (r *run) collect() {}

// reap has nothing to do: orphans are not our children here.
func (r *run) reap() {}

// tree is the group alone: nothing else can be found here.
type tree struct{ pgid int }

func (r *run) tree() tree { return tree{r.leader.pid} }

func (t tree) alive() bool { return syscall.Kill(-t.pgid, 0) != syscall.ESRCH }

// members returns nil or one entry that stands for a group that is not empty.
func (t tree) members() []int {
	if t.alive() {
		return []int{t.pgid}
	}
	return nil
}

func (t tree) signal(...syscall.Signal) {}

func (t tree) signalAdopted(...syscall.Signal) {}

func (r *run) gone() bool {
	r.look(context.Background())
	return r.leader.ended && !r.tree().alive()
}

// sweep kills the group. What has left it is not found.
func (r *run) sweep() {
	killed := sys.Boottime()
	for pause := time.Millisecond; !r.gone(); pause = min(2*pause, lookEvery) {
		_ = syscall.Kill(-r.leader.pid, syscall.SIGKILL)
		if r.overdue(killed) {
			r.status.Unfinished = true
			if !r.leader.collected {
				r.status.wait = syscall.WaitStatus(syscall.SIGKILL)
			}
			r.warnf("processes of the command do not die of SIGKILL and may still be running")
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-r.children:
		case <-timer.C:
		}
		timer.Stop()
	}
}
