package runner

import (
	"os"
	"slices"
	"syscall"
	"time"
)

// tree says which processes belong to a command: its group, the descendants of root,
// every process that carries id, and the descendants of all these.
type tree struct {
	root int // 0: unknown or dead
	pgid int // 0: unknown
	id   string
	// born is when the command was started, see proc; 0: unknown. An older process is not of
	// the command. It may descend from root: a shell that executes amqprun in its own place
	// leaves it its children.
	born  uint64
	guard *Guard // ours, which is no part of it
	// unrelated are the processes that are known not to belong. A look skips them and adds
	// to them. Nil remembers none.
	unrelated map[int]bool
	// patient looks wait for processes that are in the middle of execve(2). That can take a
	// while, and a look before a signal has no time.
	patient bool
}

// member is a process of a tree.
type member struct {
	proc
	adopted bool // it does not descend from root
}

// members returns the living processes of the tree without root, this process and the
// guards. It is a snapshot: a process that forks while /proc is read can hide its child.
// Only an answer of ECHILD from wait4 proves that nothing is left.
func (t tree) members() []member {
	found, _ := t.look()
	return found
}

// look returns the members, and whether there are other processes of which nobody can say
// in this instant whether they belong.
func (t tree) look() (found []member, more bool) {
	s := t.survey()
	others := make(map[int]bool) // and whether all their ancestors are known
	for _, p := range s.all {
		if p.pid == os.Getpid() || p.pid == t.root || p.dead() {
			continue
		}
		switch belongs, certain := t.belongs(p.pid, s.parents, s.marked, s.sure); {
		case belongs && !t.isGuard(p.pid):
			descends, _ := t.belongs(p.pid, s.parents, nil, s.sure)
			found = append(found, member{p, !descends})
		case belongs:
		case !s.sure[p.pid] || t.orphaned(p, s.parents):
			more = true
		default:
			others[p.pid] = certain
		}
	}
	for pid, certain := range others {
		// Else one of these could descend from a process of which nobody can say.
		if t.unrelated != nil && (certain || !more) {
			t.unrelated[pid] = true
		}
	}
	return found, more
}

// survey is what one reading of /proc shows, by pid.
type survey struct {
	all     []proc
	parents map[int]int
	marked  map[int]bool // in the group, or with the id
	sure    map[int]bool // marked is certain
}

func (t tree) survey() survey {
	all := processes(t.unrelated)
	s := survey{all, make(map[int]int, len(all)), make(map[int]bool), make(map[int]bool)}
	for _, p := range all {
		older := p.pid != t.root && p.start < t.born
		s.parents[p.pid], s.sure[p.pid] = p.ppid, true
		if older {
			s.parents[p.pid] = 0
		}
		if t.pgid != 0 && p.pgrp == t.pgid {
			s.marked[p.pid] = true
		} else if !older && p.pid != os.Getpid() && !p.kernel && !p.dead() {
			s.marked[p.pid], s.sure[p.pid] = carries(p, t.id)
		}
	}
	for _, p := range all {
		for try := 0; t.patient && !s.sure[p.pid] && try < execTries; try++ {
			<-time.After(time.Millisecond)
			s.marked[p.pid], s.sure[p.pid] = carries(p, t.id)
		}
	}
	return s
}

// isGuard knows ours by its number. In the middle of execve(2) it has nothing else to be
// recognised by, and it does not ignore signals yet.
func (t tree) isGuard(pid int) bool { return t.guard.is(pid) || isGuard(pid) }

// execTries is for how many milliseconds a patient look waits for a process in the middle
// of execve(2). That takes less than one unless the machine is starved. It has an end,
// because a machine on which much is executed must not keep every look from its end.
const execTries = 20

// orphaned reports whether the parent of p has ended, unseen, while /proc was read: it
// may have been a member. A living parent that cannot be seen (hidepid of proc(5)) is
// another user's.
func (t tree) orphaned(p proc, parents map[int]int) bool {
	if _, seen := parents[p.ppid]; seen || p.ppid <= 1 || t.unrelated[p.ppid] {
		return false
	}
	now, ok := readProc(p.pid)
	return !ok || now.ppid != p.ppid
}

// belongs walks up from pid until it meets root or a marked process. Where it meets none,
// certain says that every process on the way is known.
func (t tree) belongs(pid int, parents map[int]int, marked, sure map[int]bool) (yes, certain bool) {
	certain = true
	for range len(parents) + 1 { // a pid used again while /proc was read could close a circle
		if marked[pid] || t.root != 0 && pid == t.root { // which is 1 in a container
			return true, true
		}
		if pid <= 1 || t.unrelated[pid] {
			return false, certain
		}
		parent, seen := parents[pid]
		certain = certain && seen && sure[pid]
		pid = parent
	}
	return false, false
}

// walks is how often descendants walks through the tree, unless a walk finds no new
// process. When the group has just got a signal, processes end, and their children move
// to an ancestor whose list the walk has read.
const walks = 5

// descendants returns the living descendants of root, without guards, by the kernel's
// lists of children. It knows only the pid of a hidden one. That takes as long as the
// tree is large. members reads all of /proc, which must not come first where hundreds of
// commands have to be stopped at the same time.
func (t tree) descendants() (found []proc) {
	known := make(map[int]bool)
	for round, fresh := 0, true; fresh && round < walks; round++ {
		fresh = false
		visited := make(map[int]bool)
		for parents := []int{t.root}; len(parents) > 0; parents = parents[1:] {
			pids, listed := childrenOf(parents[0])
			if !listed {
				return t.descendantsByParent()
			}
			for _, pid := range pids {
				p, ok := readProc(pid)
				if !ok {
					if syscall.Kill(pid, 0) == syscall.ESRCH {
						continue
					}
					p = proc{pid: pid, start: t.born} // hidden, and perhaps older
				}
				if visited[pid] || p.start < t.born || t.isGuard(pid) {
					continue
				}
				visited[pid] = true
				parents = append(parents, pid)
				if known[pid] {
					continue
				}
				known[pid], fresh = true, true
				if !p.dead() {
					found = append(found, p)
				}
			}
		}
	}
	return found
}

func (t tree) descendantsByParent() (found []proc) {
	for _, m := range slices.DeleteFunc(t.members(), func(m member) bool { return m.adopted }) {
		found = append(found, m.proc)
	}
	return found
}

// signal signals every descendant outside the group, which the caller signals as a whole.
func (t tree) signal(signals ...syscall.Signal) {
	for _, p := range t.descendants() {
		if p.pgrp != t.pgid {
			p.signal(signals...)
		}
	}
}

// signalAdopted signals the members that are neither descendants nor in the group.
func (t tree) signalAdopted(signals ...syscall.Signal) {
	for _, p := range t.members() {
		if p.adopted && p.pgrp != t.pgid {
			p.signal(signals...)
		}
	}
}
