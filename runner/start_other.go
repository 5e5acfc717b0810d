//go:build unix && !linux

package runner

import "syscall"

// childAttributes gives the child a group of its own, and perhaps the foreground of the
// terminal at standard input.
func childAttributes(foreground bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Foreground: foreground}
}

// adoptOrphans has nothing to do: these systems have no subreaper that an unprivileged
// process could be.
func adoptOrphans() error { return nil }
