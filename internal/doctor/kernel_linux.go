package doctor

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/amqplock"
)

func kernel() []amqplock.Finding {
	self, err := os.Readlink("/proc/self") // in that of another PID namespace it is another
	proc := err == nil && self == strconv.Itoa(os.Getpid())
	fd, pidfd := unix.PidfdOpen(os.Getpid(), 0)
	if pidfd == nil {
		_ = unix.Close(fd)
	}
	return []amqplock.Finding{
		subreaper(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)),
		finding("proc", "/proc shows our processes", proc,
			"without a /proc of this PID namespace there is no guard, and only the process group of "+
				"a command is stopped", "mount -t proc proc /proc"),
		finding("pidfd", "signals reach the process that is meant", pidfd == nil,
			"a signal can hit another process that has the number by then",
			"Linux 5.3 or later, and a sandbox that allows pidfd_open(2)"),
	}
}

// subreaper is a failure with err, because the runner refuses to start a command then.
func subreaper(err error) amqplock.Finding {
	f := amqplock.Finding{Check: "subreaper", Level: "ok",
		Text: "orphans of a command come to amqprun"}
	if err != nil {
		f.Level, f.Text = "failure", fmt.Sprintf("a command cannot be run: %v", err)
		f.Fix, f.Err = "allow prctl(2) with PR_SET_CHILD_SUBREAPER", err
	}
	return f
}
