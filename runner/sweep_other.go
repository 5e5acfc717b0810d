//go:build unix && !linux

package runner

import (
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// sweep kills the group. It does not find what has left it.
func (r *sweeper) sweep() {
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
