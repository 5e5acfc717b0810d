package runner

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// forward passes s to the command's group. It reports whether s was a second SIGTERM,
// which means: kill it. A second SIGINT has a meaning of its own for interactive
// programs, and for those that clean up after the first.
func (r *jobControl) forward(ctx context.Context, s os.Signal) (kill bool) {
	sig, ok := s.(syscall.Signal)
	if !ok || sig == syscall.SIGPIPE || !r.ends.add(s, time.Now()) {
		return false
	}
	if sig == syscall.SIGTERM && r.ends.terms > 1 {
		return true
	}
	switch {
	case sig == syscall.SIGTSTP && r.stopping:
		return false // to stop now would keep the tree from its end
	case sig == syscall.SIGCONT && (r.verified != nil || r.resumed):
		// The command goes on when the lock has been verified, and not before. After that
		// the signal could undo the next Ctrl-Z.
		r.resumed = false
		return false
	case sig == syscall.SIGTSTP && r.verified != nil:
		// Ctrl-Z again, before the command went on: it is still stopped.
		if Resumable() {
			r.suspend(ctx, sig, r.wants, true)
		}
		return false
	case sig == syscall.SIGTSTP && r.leader.ended:
		// No SIGCHLD announces the stop of processes that the command has left behind.
		if Resumable() {
			r.leader.signalGroup(sig)
			r.suspend(ctx, sig, false, true)
		}
		return false
	case sig == syscall.SIGTSTP:
		r.tstp = sys.Boottime()
	case sig == syscall.SIGCONT:
		r.tstp = 0
	}
	r.leader.signalGroup(sig)
	return false
}
