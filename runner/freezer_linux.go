package runner

import (
	"slices"
	"syscall"
	"time"
)

// spareTime bounds the look for processes that somebody else has stopped. It comes before
// the first SIGSTOP, and nobody can see them after it. It takes some milliseconds, and
// more only on a machine that is short of processors.
const spareTime = 250 * time.Millisecond

// freezer stops a tree by SIGSTOP, and continues what it has stopped.
type freezer struct {
	stopped []proc         // by us
	spared  map[int]uint64 // stopped by others: pid, and when it was started
	refused bool           // the newest stop may not signal one that runs, or sees none of it
}

// stoppedWithin returns the descendants that are stopped, or none if to look takes longer
// than d.
func stoppedWithin(t tree, d time.Duration) map[int]uint64 {
	found := make(chan map[int]uint64, 1)
	go func() {
		stopped := make(map[int]uint64)
		for _, p := range t.descendants() {
			if p.stopped() {
				stopped[p.pid] = p.start
			}
		}
		found <- stopped
	}()
	select {
	case stopped := <-found:
		return stopped
	case <-time.After(d):
		return make(map[int]uint64)
	}
}

// stop sends SIGSTOP to those that run, and reports whether there are any. The group has
// it already.
func (f *freezer) stop(processes []proc, group int) (runs bool) {
	f.refused = false
	for _, p := range processes {
		same := func(q proc) bool { return q.pid == p.pid && q.start == p.start }
		ours := slices.ContainsFunc(f.stopped, same)
		spared := f.spared[p.pid] == p.start
		switch {
		case p.hidden():
			runs, f.refused = true, true
		case ours && (p.stopped() || p.cannotShow()), spared && p.stopped():
		case p.stopped() && p.pgrp == group:
			f.stopped = append(f.stopped, p)
		case p.stopped():
			f.spared[p.pid] = p.start
		default:
			runs = true
			f.refused = p.signal(syscall.SIGSTOP) || f.refused
			if delete(f.spared, p.pid); !ours {
				f.stopped = append(f.stopped, p)
			}
		}
	}
	return runs
}

// has reports whether a process that we have stopped was in this group.
func (f *freezer) has(group int) bool {
	return slices.ContainsFunc(f.stopped, func(p proc) bool { return p.pgrp == group })
}

// thaw continues what we have stopped, children before their parents. A shell that goes
// on first would take a child that is still stopped for one that was stopped by Ctrl-Z.
func (f *freezer) thaw() { f.signal(syscall.SIGCONT) }

// kill kills what has stopped, whoever has stopped it, children before their parents. The
// end of a parent can make the kernel continue a group, or the session of a terminal.
func (f *freezer) kill() {
	for pid, start := range f.spared {
		f.stopped = append(f.stopped, proc{pid: pid, start: start})
	}
	f.signal(syscall.SIGKILL)
}

// signal signals children before their parents.
func (f *freezer) signal(s syscall.Signal) {
	parents := make(map[int]int)
	for _, p := range f.stopped {
		now, _ := readProc(p.pid)
		parents[p.pid] = now.ppid
	}
	depth := func(p proc) (n int) {
		for pid := p.pid; n <= len(parents); n++ { // a pid used again could close a circle
			parent, seen := parents[pid]
			if !seen {
				break
			}
			pid = parent
		}
		return n
	}
	slices.SortStableFunc(f.stopped, func(a, b proc) int { return depth(b) - depth(a) })
	for _, p := range f.stopped {
		p.signal(s)
	}
}

// stopped reports whether the process is stopped by a signal, or by a debugger.
func (p proc) stopped() bool { return p.state == 'T' || p.state == 't' }

// cannotShow reports whether the process shows another state although it has SIGSTOP. It
// is in an uninterruptible sleep, or its first thread has ended. It executes no more of
// its own.
func (p proc) cannotShow() bool { return p.state == 'D' || p.state == 'Z' }
