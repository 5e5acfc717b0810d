package runner

import (
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// CanPause says that Command.Pause works on this system.
const CanPause = true

// freeze returns when no process of the tree runs any more. It returns false if one still
// does after freezeTime. It can be called again.
//
// The group comes first: the kernel lets no fork slip past a signal to a group. A process
// outside it can fork before it has its signal, so freeze looks until nothing runs. The
// descendants are quick to find, which a chain of processes that fork and end needs.
func (r *family) freeze() bool {
	if !seesProcesses() {
		return false
	}
	begun := sys.Boottime()
	if r.frozen == nil {
		r.frozen = &freezer{spared: stoppedWithin(r.tree(), spareTime)}
		r.leader.signalGroup(syscall.SIGSTOP)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, lookEvery) {
		t := r.tree()
		for r.frozen.stop(t.descendants(), r.leader.pid) && sys.Boottime() < begun+freezeTime {
		}
		t.unrelated, t.patient = r.unrelated.recent(), true
		members, more := t.look()
		all := make([]proc, len(members))
		for i, m := range members {
			all[i] = m.proc
		}
		runs := r.frozen.stop(all, r.leader.pid)
		late := sys.Boottime() > begun+freezeTime
		if !runs && (!more || late) {
			return true
		}
		if late {
			return false
		}
		<-time.After(pause)
	}
}
