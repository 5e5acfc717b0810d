//go:build unix && !linux

package runner

import (
	"context"
	"syscall"
)

// leader is the command's own process. It is collected as soon as it ends: these systems
// cannot look at a dead child without collecting it. So its group could, in theory, have
// a new owner when it is signalled after that.
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

func (r *run) born() uint64 { return 0 }

func (r *run) collect() {}

// reap has nothing to do: orphans are not our children here.
func (r *run) reap() {}

// ReapOthers has nothing to do.
func ReapOthers() (stop func()) { return func() {} }

// handles cannot be known here.
func handles(int, syscall.Signal) bool { return true }
