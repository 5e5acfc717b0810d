//go:build unix && !linux

package runner

import (
	"context"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

func (r *run) gone() bool {
	r.look(context.Background())
	return r.leader.ended && !r.tree().alive()
}

// sweep kills the group. It does not find what has left it.
func (r *run) sweep() {
	killed := sys.Boottime()
	for pause := time.Millisecond; !r.gone(); pause = min(2*pause, lookEvery) {
		_ = syscall.Kill(-r.leader.pid, syscall.SIGKILL)
		if r.overdue(killed) {
			r.giveUp(1)
			return
		}
		r.waitForChild(pause)
	}
}
