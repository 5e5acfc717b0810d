package runner

// leader is the command's own process, whose pid is also the id of its group.
//
// It is collected when its group has been signalled for the last time, and not before.
// Until then the pid, and with it the group's id, cannot belong to anybody else.
type leader struct {
	pid       int
	ended     bool
	collected bool
	start     uint64 // see born
}

// born returns when the command was started. It can be seen until the leader is
// collected.
func (l *leader) born() uint64 {
	if l.start == 0 && !l.collected {
		p, _ := readProc(l.pid)
		l.start = p.start
	}
	return l.start
}

// older reports whether a child of ours was there before the command.
func (l *leader) older(pid int) bool {
	p, ok := readProc(pid)
	return ok && p.start < l.born()
}
