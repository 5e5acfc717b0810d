package runner

// leader is the command's own process, whose pid is also the id of its group.
//
// It is collected when its group has been signalled for the last time, and not before.
// Until then the pid, and with it the group's id, cannot belong to anybody else.
type leader struct {
	pid       int
	ended     bool
	collected bool
	born      uint64 // see run.born
}

// born returns when the command was started. It can be seen until the leader is
// collected.
func (r *run) born() uint64 {
	if r.leader.born == 0 && !r.leader.collected {
		p, _ := readProc(r.leader.pid)
		r.leader.born = p.start
	}
	return r.leader.born
}

// older reports whether a child of ours was there before the command.
func (r *run) older(pid int) bool {
	p, ok := readProc(pid)
	return ok && p.start < r.born()
}
