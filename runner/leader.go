package runner

import "syscall"

// signalGroup is safe as long as the leader has not been collected. A group that has gone
// is no error: the signal lost the race.
func (r *run) signalGroup(s syscall.Signal) {
	if !r.leader.collected {
		_ = syscall.Kill(-r.leader.pid, s)
	}
}

// hangUp sends SIGHUP to the leader if it expects one. The rest of its group may not.
func (r *run) hangUp() {
	if handles(r.leader.pid, syscall.SIGHUP) {
		_ = syscall.Kill(r.leader.pid, syscall.SIGHUP)
	}
}
