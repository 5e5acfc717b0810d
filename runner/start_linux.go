package runner

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes gives the child a group of its own, perhaps the foreground of the
// terminal at standard input, and lets it die with us. The kernel drops the latter for
// set-uid programs.
func childAttributes(foreground bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Setpgid: true, Foreground: foreground, Pdeathsig: syscall.SIGKILL,
	}
}

// adoptOrphans makes the processes whose parents die our children, wherever they have
// moved to: no session and no double fork leads out.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}
