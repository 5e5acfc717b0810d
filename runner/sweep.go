package runner

import (
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// sweeper kills what is left of the tree.
type sweeper struct {
	*family
	hangs bool // the command does not die of SIGKILL
}

// lookEvery is how often amqprun looks at the tree for what no SIGCHLD announces: the end
// of processes that are not its descendants.
const lookEvery = 20 * time.Millisecond

// unfinishedAfter is for how long amqprun waits for the dying tree after SIGKILL, or
// after Until if that is later. SIGKILL takes a millisecond. A process that lives on for
// a second hangs in the kernel (a dead network file system), or is not ours to kill
// (sudo).
const unfinishedAfter = time.Second

// overdue reports whether to give up on a tree that got SIGKILL at killed. While the
// command itself lives, or after a loss, it is worth trying until the lock is somebody
// else's. After a loss without Until it may be that already. Other processes that the
// command has left behind are in nobody's way.
func (r *sweeper) overdue(killed time.Duration) bool {
	now := sys.Boottime()
	if r.leader.ended && !r.status.Stopped {
		return now > killed+unfinishedAfter
	}
	if !r.status.Stopped && !r.hangs && now > killed+unfinishedAfter {
		r.hangs = true
		r.warnf("the command does not die of SIGKILL; the lock is kept until it does")
	}
	until := r.until()
	return (until != 0 || r.status.Stopped) && now > max(until, killed)+unfinishedAfter
}

// giveUp reports that some processes do not die.
func (r *sweeper) giveUp(left int) {
	r.status.Unfinished = true
	if !r.leader.ended {
		r.status.wait = syscall.WaitStatus(syscall.SIGKILL) // of which it will die
	}
	r.warnf("%d processes of the command do not die of SIGKILL and may still be running", left)
}

// waitForChild returns when a child has ended, and after d at the latest.
func (r *sweeper) waitForChild(d time.Duration) {
	select {
	case <-r.children:
	case <-time.After(d):
	}
}
