//go:build unix && !linux

package runner

import (
	"context"
	"syscall"
)

func (r *family) look(ctx context.Context) {
	for !r.leader.ended {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(r.leader.pid, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil || pid == 0:
			return
		case status.Stopped():
			r.commandStopped(ctx, status.StopSignal())
		default:
			r.leader.ended, r.status.wait = true, status
		}
	}
}

func (r *family) collect() {}

// reap has nothing to do: orphans are not our children here.
func (r *family) reap() {}

func (r *family) tree() tree { return tree{r.leader.pid} }

func (r *family) gone() bool {
	r.look(context.Background())
	return r.leader.ended && !r.tree().alive()
}

// CanAwaitOrphans reports whether Wait works here.
func CanAwaitOrphans() bool { return true }

// ReapOthers has nothing to do.
func ReapOthers() (stop func()) { return func() {} }
