//go:build unix && !linux

package runner

import "syscall"

// leader is the command's own process. It is collected as soon as it ends: these systems
// cannot look at a dead child without collecting it. So its group could, in theory, have
// a new owner when it is signalled after that.
type leader struct {
	pid       int
	ended     bool
	collected bool // never set, because the orphans in the group get signals too
}

func (l *leader) born() uint64 { return 0 }

// handles cannot be known here, and a command that does not would die of the signal.
func handles(int, syscall.Signal) bool { return false }
