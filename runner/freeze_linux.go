package runner

import (
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// CanPause says that Command.Pause works on this system.
const CanPause = true

// freeze returns when no process of the tree runs any more. It returns false if one still
// does when its time is over. It can be called again.
//
// A process that has SIGSTOP executes nothing more of its own, but on a machine short
// of processors it shows that late. So the first call takes as long as a stop would
// take. freezeTime is enough for a process that is not ours to stop (sudo), and for one
// of which nobody can say whose it is.
//
// The group comes first: the kernel lets no fork slip past a signal to a group. A process
// outside it can fork before it has its signal, so freeze looks until nothing runs. The
// descendants are quick to find, which a chain of processes that fork and end needs.
func (r *family) freeze() bool {
	if !seesProcesses() {
		return false
	}
	begun := sys.Boottime()
	soon := begun + freezeTime
	end := soon
	if r.frozen == nil {
		end = max(soon, r.bounded(begun+r.c.KillAfter))
		r.frozen = &freezer{spared: stoppedWithin(r.tree(), spareTime)}
		r.leader.signalGroup(syscall.SIGSTOP)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, lookEvery) {
		t := r.tree()
		for r.frozen.stop(t.descendants(), r.leader.pid) && sys.Boottime() < soon {
		}
		t.unrelated, t.patient = r.unrelated.recent(), true
		members, more := t.look()
		all := t.descendants() // a look through /proc finds none that is hidden
		for _, m := range members {
			all = append(all, m.proc)
		}
		runs := r.frozen.stop(all, r.leader.pid)
		now := sys.Boottime()
		switch {
		case !runs && (!more || now > soon):
			return true
		case now > end, r.frozen.refused && now > soon:
			return false
		}
		<-time.After(pause)
	}
}
