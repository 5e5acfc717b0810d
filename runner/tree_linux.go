package runner

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tree says which processes belong to a command: its group, the descendants of root, every process that carries AMQPRUN_ID=id, and the
// children of all these.
type tree struct {
	root int // 0: unknown or dead
	pgid int // 0: unknown
	id   string
	// born is when the command was started, see proc; 0: unknown. Who is older may descend from root, for a shell that executes amqprun in its own place
	// leaves it its children, but not from the command; nor was it given the command's environment.
	born uint64
	// strangers are the processes that are known not to belong, and not looked at again. Nil remembers none.
	strangers map[int]bool
	// patient looks wait for processes that are in the middle of execve(2): they may take a while, and who has to send a signal has no time.
	patient bool
}

func (r *run) tree() tree {
	t := tree{root: os.Getpid(), id: r.c.ID, born: r.born()}
	if r.stopping {
		t.strangers = r.strangers.recent()
	}
	if !r.leader.collected {
		t.pgid = r.leader.pid
	}
	return t
}

// born returns when the command was started, which can be seen until the leader is collected.
func (r *run) born() uint64 {
	if r.leader.born == 0 && !r.leader.collected {
		p, _ := readProc(r.leader.pid)
		r.leader.born = p.start
	}
	return r.leader.born
}

// older reports whether a child of ours was there before the command, which has not started it then.
func (r *run) older(pid int) bool {
	p, ok := readProc(pid)
	return ok && p.start < r.born()
}

// proc is what /proc/PID/stat tells of a process.
type proc struct {
	pid, ppid, pgrp, session int
	state                    byte
	kernel                   bool   // a thread of the kernel
	exiting                  bool   // the first thread has begun to end
	threads                  int    // those that have not ended, and the first
	start                    uint64 // in ticks since boot: with the pid it names a process for ever
	adopted                  bool   // a member that does not descend from root
}

// members returns the living processes of the tree without root, this process and the guards. It is a snapshot: a
// process that forks while /proc is read can hide its child. Only an answer of ECHILD from wait4 proves that nothing is left.
func (t tree) members() []proc {
	found, _ := t.look()
	return found
}

// look is members, and whether there are others of which nobody can tell in this instant whether they belong.
func (t tree) look() (found []proc, more bool) {
	all := processes(t.strangers)
	self := os.Getpid()
	parents, member, sure := make(map[int]int, len(all)), make(map[int]bool), make(map[int]bool)
	for _, p := range all {
		older := p.pid != t.root && p.start < t.born
		parents[p.pid], sure[p.pid] = p.ppid, true
		if older {
			parents[p.pid] = 0
		}
		if t.pgid != 0 && p.pgrp == t.pgid {
			member[p.pid] = true
		} else if !older && p.pid != self && !p.kernel && !p.dead() {
			member[p.pid], sure[p.pid] = carries(p, t.id)
		}
	}
	for _, p := range all { // a machine on which much is executed must not keep every look from its end
		for try := 0; t.patient && !sure[p.pid] && try < execTries; try++ {
			<-time.After(time.Millisecond)
			member[p.pid], sure[p.pid] = carries(p, t.id)
		}
	}
	others := make(map[int]bool) // and whether all their ancestors are known
	for _, p := range all {
		if p.pid == self || p.pid == t.root || p.dead() {
			continue
		}
		switch belongs, certain := t.belongs(p.pid, parents, member, sure); {
		case belongs && !isGuard(p.pid):
			descends, _ := t.belongs(p.pid, parents, nil, sure)
			p.adopted = !descends
			found = append(found, p)
		case belongs:
		case !sure[p.pid] || t.orphaned(p, parents):
			more = true
		default:
			others[p.pid] = certain
		}
	}
	for pid, certain := range others {
		if t.strangers != nil && (certain || !more) { // else one of these could descend from one of those
			t.strangers[pid] = true
		}
	}
	return found, more
}

// execTries is for how many milliseconds a process is looked at that is in the middle of execve(2), which takes less than one unless the machine
// is starved.
const execTries = 20

// orphaned reports whether the parent of p has ended while /proc was read, and was not seen: it may have been a member. A parent that is
// alive and cannot be seen (hidepid of proc(5)) is another user's.
func (t tree) orphaned(p proc, parents map[int]int) bool {
	if _, seen := parents[p.ppid]; seen || p.ppid <= 1 || t.strangers[p.ppid] {
		return false
	}
	now, ok := readProc(p.pid)
	return !ok || now.ppid != p.ppid
}

// dead says that a process executes nothing any more. What the kernel tells of it is told of its first thread, which others may outlive.
func (p proc) dead() bool { return p.threads <= 1 && (p.exiting || p.state == 'Z' || p.state == 'X') }

// belongs walks up from pid until it meets root or a member. Where it does not, certain says that everybody on the way is known.
func (t tree) belongs(pid int, parents map[int]int, member, sure map[int]bool) (yes, certain bool) {
	certain = true
	for range len(parents) + 1 { // a pid used again while /proc was read could close a circle
		if member[pid] || t.root != 0 && pid == t.root { // which is 1 in a container
			return true, true
		}
		if pid <= 1 || t.strangers[pid] {
			return false, certain
		}
		parent, seen := parents[pid]
		certain = certain && seen && sure[pid]
		pid = parent
	}
	return false, false
}

// descendants returns the living descendants of root, without guards, by the lists of children that the kernel keeps. That takes as long as the tree is
// large; members reads all of /proc, and where hundreds of commands have to be stopped at the same time that must not come first.
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
				if !ok || visited[pid] || p.start < t.born || isGuard(pid) {
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

func (t tree) descendantsByParent() []proc {
	return slices.DeleteFunc(t.members(), func(p proc) bool { return p.adopted })
}

// walks is how often descendants walks through the tree, unless it finds nobody new: the children of who ends meanwhile, because the group has just
// got a signal, move to an ancestor whose list it has read.
const walks = 5

// signal sends each of signals to every descendant outside the group, which the caller signals as a whole.
func (t tree) signal(signals ...syscall.Signal) {
	for _, p := range t.descendants() {
		if p.pgrp != t.pgid {
			p.signal(signals...)
		}
	}
}

// signalAdopted sends each of signals to the members that are neither descendants nor in the group.
func (t tree) signalAdopted(signals ...syscall.Signal) {
	for _, p := range t.members() {
		if p.adopted && p.pgrp != t.pgid {
			p.signal(signals...)
		}
	}
}

// signal hits p itself, or nobody: a pid that is used again since p was read has another start time.
func (p proc) signal(signals ...syscall.Signal) {
	send := func(s syscall.Signal) error { return syscall.Kill(p.pid, s) } // Linux before 5.3, and some sandboxes
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == nil {
		defer unix.Close(fd)
		send = func(s syscall.Signal) error { return unix.PidfdSendSignal(fd, s, nil, 0) }
	}
	if now, ok := readProc(p.pid); !ok || now.start != p.start {
		return
	}
	for _, s := range signals {
		_ = send(s)
	}
}

// processes lists the processes that there are, but those to skip. Those that end meanwhile are left out.
func processes(skip map[int]bool) []proc {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	all := make([]proc, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || skip[pid] {
			continue
		}
		if p, ok := readProc(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

func readProc(pid int) (proc, bool) {
	fields, ok := readStat(strconv.Itoa(pid))
	const state, ppid, pgrp, session, flags, threads, start = 0, 1, 2, 3, 6, 17, 19 // proc(5) counts them 3, 4, 5, 6, 9, 20 and 22
	const exiting, kernelThread = 0x00000004, 0x00200000                            // PF_EXITING and PF_KTHREAD of the kernel's sched.h
	if !ok || len(fields) <= start {
		return proc{}, false
	}
	p := proc{pid: pid, state: fields[state][0]}
	p.start, _ = strconv.ParseUint(fields[start], 10, 64)
	p.ppid, _ = strconv.Atoi(fields[ppid])
	p.pgrp, _ = strconv.Atoi(fields[pgrp])
	p.session, _ = strconv.Atoi(fields[session])
	bits, _ := strconv.ParseUint(fields[flags], 10, 32)
	p.kernel, p.exiting = bits&kernelThread != 0, bits&exiting != 0
	p.threads, _ = strconv.Atoi(fields[threads])
	return p, true
}

// readStat returns the fields of stat from the third on. The second is the name, in parentheses, and may hold spaces and parentheses.
func readStat(place string) ([]string, bool) {
	stat, err := readProcFile(place, "stat")
	end := bytes.LastIndexByte(stat, ')')
	if err != nil || end < 0 {
		return nil, false
	}
	return strings.Fields(string(stat[end+1:])), true
}

// readProcFile reads stat, environ or comm of a process or a thread, of which a read that does not fill the buffer is the last. It is os.ReadFile without what that does
// for files of other kinds, which takes most of the time: a guard that looks for who is left reads two files of every process.
func readProcFile(place, name string) ([]byte, error) {
	fd, err := unix.Open("/proc/"+place+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	content := make([]byte, 0, 1024)
	for {
		n, err := unix.Read(fd, content[len(content):cap(content)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		content = content[:len(content)+n]
		if len(content) < cap(content) {
			return content, nil
		}
		content = slices.Grow(content, len(content))
	}
}

// carries reports whether the environment that p was executed with has AMQPRUN_ID=id, and whether that is sure: in the middle of
// execve(2) a process has lost one environment and has not got the next.
func carries(p proc, id string) (yes, sure bool) {
	if id == "" {
		return false, true
	}
	place := environPlace(p)
	environ, err := readProcFile(place, "environ")
	if err == nil && len(environ) == 0 {
		if !executed(place) {
			now, alive := readProc(p.pid)
			return false, !alive || now.dead()
		}
		environ, err = readProcFile(place, "environ") // it may have come since
	}
	if err != nil {
		return false, true // the process has ended, or is not ours to see
	}
	want := []byte("AMQPRUN_ID=" + id + "\x00")
	return bytes.HasPrefix(environ, want) || bytes.Contains(environ, append([]byte{0}, want...)), true
}

// environPlace is where under /proc the environment of p is: a first thread that has ended has none, but others may have outlived it.
func environPlace(p proc) string {
	place := strconv.Itoa(p.pid)
	if p.exiting {
		threads, _ := os.ReadDir("/proc/" + place + "/task")
		for _, thread := range threads {
			if thread.Name() != place {
				return place + "/task/" + thread.Name()
			}
		}
	}
	return place
}

// executed reports whether a process has all that execve(2) gives it. Of that the kernel sets the place of the code last, after the
// environment (load_elf_binary).
func executed(place string) bool {
	fields, ok := readStat(place)
	const startCode = 23 // proc(5) counts it 26
	return !ok || len(fields) > startCode && fields[startCode] != "0"
}

// isGuard recognises the guard of any amqprun by its name, which a stub has too, or, before it has that, by its environment, which is
// guardEnvironment and nothing else.
func isGuard(pid int) bool {
	place := strconv.Itoa(pid)
	if name, err := readProcFile(place, "comm"); err == nil && string(name) == guardName+"\n" {
		return true
	}
	environ, err := readProcFile(place, "environ")
	return err == nil && string(environ) == strings.Join(guardEnvironment, "\x00")+"\x00"
}

// children returns our children, zombies included. As nobody else collects them their pids are safe to signal. A list
// that changes while it is read can lack some.
func children() (pids []int) {
	pids, listed := childrenOf(os.Getpid())
	if listed {
		return pids
	}
	self := os.Getpid()
	for _, p := range processes(nil) {
		if p.ppid == self {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// childrenOf reads the kernel's lists of children. Not listed are they by a kernel without CONFIG_PROC_CHILDREN, and where a thread of
// parent has just ended.
func childrenOf(parent int) (pids []int, listed bool) {
	place := "/proc/" + strconv.Itoa(parent) + "/task/"
	tasks, err := os.ReadDir(place)
	if err != nil {
		return nil, true // it has ended
	}
	for _, task := range tasks {
		list, err := os.ReadFile(place + task.Name() + "/children")
		if err != nil {
			p, ok := readProc(parent)
			return nil, !ok || p.dead() // its children have another parent then
		}
		for _, field := range strings.Fields(string(list)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids, true
}
