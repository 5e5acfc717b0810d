//go:build unix && !linux

package runner

import "syscall"

func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// adoptOrphans has nothing to do: these systems have no subreaper that an unprivileged
// process could be.
func adoptOrphans() error { return nil }
