package doctor

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/amqplock"
)

func kernel() []amqplock.Finding {
	subreaper := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	_, proc := os.ReadFile("/proc/self/stat")
	fd, pidfd := unix.PidfdOpen(os.Getpid(), 0)
	if pidfd == nil {
		_ = unix.Close(fd)
	}
	return []amqplock.Finding{
		finding("subreaper", "orphans of a command come to amqprun", subreaper == nil,
			"a command cannot be run", "allow prctl(2) with PR_SET_CHILD_SUBREAPER"),
		finding("proc", "/proc shows processes", proc == nil,
			"without /proc only the process group of a command is stopped", "mount -t proc proc /proc"),
		finding("pidfd", "signals reach the process that is meant", pidfd == nil,
			"a signal can hit another process that has the number by then",
			"Linux 5.3 or later, and a sandbox that allows pidfd_open(2)"),
	}
}
