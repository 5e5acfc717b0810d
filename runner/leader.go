package runner

import "syscall"

// signalGroup is safe as long as the leader has not been collected. A group that has gone
// is no error: the signal lost the race.
func (l *leader) signalGroup(s syscall.Signal) {
	if !l.collected {
		_ = syscall.Kill(-l.pid, s)
	}
}

// hangUp sends SIGHUP to the leader if it expects one. The rest of its group may not.
func (l *leader) hangUp() {
	if handles(l.pid, syscall.SIGHUP) {
		_ = syscall.Kill(l.pid, syscall.SIGHUP)
	}
}
