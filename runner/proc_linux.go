package runner

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// procDir is /proc if that shows the processes that have our numbers. That of another PID
// namespace has others, whom we would signal: unshare --pid does not mount its own.
var procDir = sync.OnceValue(func() string {
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return "/proc/none"
	}
	return "/proc"
})

// seesProcesses reports whether there is such a /proc. Without it only the group of a
// command is known.
func seesProcesses() bool { return procDir() == "/proc" }

// CanAwaitOrphans reports whether Wait works here. Without a /proc nobody can see whom it
// waits for.
func CanAwaitOrphans() bool { return seesProcesses() }

// proc is what /proc/PID/stat says of a process.
type proc struct {
	pid, ppid, pgrp, session int
	state                    byte
	kernel                   bool // a thread of the kernel
	exiting                  bool // the first thread has begun to end

	threads int    // those that have not ended, and the first
	start   uint64 // in ticks since boot; with the pid it names a process for ever
}

// hidden reports whether only the pid is known. hidepid of proc(5) hides other users'
// processes, and a shortage of descriptors hides any.
func (p proc) hidden() bool { return p.state == 0 }

// dead reports whether the process executes nothing any more. The kernel's letter is that
// of the first thread, which others may outlive.
func (p proc) dead() bool {
	return p.threads <= 1 && (p.exiting || p.state == 'Z' || p.state == 'X')
}

// signal signals p itself, or nobody: if another process has its pid by now, that has
// another start time. It reports whether p is not ours to signal.
func (p proc) signal(signals ...syscall.Signal) (refused bool) {
	// Linux before 5.3, and some sandboxes, have no pidfd.
	send := func(s syscall.Signal) error { return syscall.Kill(p.pid, s) }
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == nil {
		defer unix.Close(fd)
		send = func(s syscall.Signal) error { return unix.PidfdSendSignal(fd, s, nil, 0) }
	}
	if now, ok := readProc(p.pid); !ok || now.start != p.start {
		return false
	}
	for _, s := range signals {
		refused = errors.Is(send(s), syscall.EPERM)
	}
	return refused
}

// handles reports whether a process catches or ignores s.
func handles(pid int, s syscall.Signal) bool {
	status, err := os.ReadFile(procDir() + "/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		name, mask, _ := strings.Cut(line, ":")
		if name == "SigCgt" || name == "SigIgn" {
			set, _ := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			if set&(1<<(s-1)) != 0 {
				return true
			}
		}
	}
	return false
}

// environ returns the environment that p was executed with, nil if there is none to
// see. It also returns whether that is sure. In the middle of execve(2) a process has
// lost one environment and has not got the next.
func (p proc) environ() (text []byte, sure bool) {
	place := p.environPlace()
	text, err := readProcFile(place, "environ")
	if err == nil && len(text) == 0 {
		if !executed(place) {
			now, alive := readProc(p.pid)
			return nil, !alive || now.dead()
		}
		text, err = readProcFile(place, "environ") // it may have come since
	}
	if err != nil {
		return nil, true // the process has ended, or is not ours to see
	}
	return text, true
}

// environPlace is where under /proc the environment of p is. A first thread that has
// ended has none, but others may have outlived it.
func (p proc) environPlace() string {
	place := strconv.Itoa(p.pid)
	if p.exiting {
		threads, _ := os.ReadDir(procDir() + "/" + place + "/task")
		for _, thread := range threads {
			if thread.Name() != place {
				return place + "/task/" + thread.Name()
			}
		}
	}
	return place
}

// carries reports whether the environment of p has id, in AMQPRUN_ID or among
// AMQPRUN_IDS, and whether that is sure.
func carries(p proc, id string) (yes, sure bool) {
	if id == "" {
		return false, true
	}
	text, sure := p.environ()
	if !bytes.Contains(text, []byte(id)) { // which is quick, and is so for most
		return false, sure
	}
	for entry := range strings.SplitSeq(string(text), "\x00") {
		name, ids, _ := strings.Cut(entry, "=")
		if (name == "AMQPRUN_ID" || name == "AMQPRUN_IDS") && slices.Contains(strings.Fields(ids), id) {
			return true, sure
		}
	}
	return false, sure
}

// isGuard recognises the guard of any amqprun by its name or, before it has that, by its
// environment.
func isGuard(pid int) bool {
	place := strconv.Itoa(pid)
	if name, err := readProcFile(place, "comm"); err == nil && string(name) == guardName+"\n" {
		return true
	}
	environ, err := readProcFile(place, "environ")
	return err == nil && string(environ) == strings.Join(guardEnvironment, "\x00")+"\x00"
}

// processes lists the processes that there are, without those to skip and those that end
// meanwhile.
func processes(skip map[int]bool) []proc {
	dir, err := os.Open(procDir())
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

// children returns our children, zombies included. As nobody else collects them, their
// pids are safe to signal. A list that changes while it is read can lack some.
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

// childrenOf reads the kernel's lists of children. listed is false on a kernel without
// CONFIG_PROC_CHILDREN, and when a thread of parent has just ended.
func childrenOf(parent int) (pids []int, listed bool) {
	place := procDir() + "/" + strconv.Itoa(parent) + "/task/"
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

func readProc(pid int) (proc, bool) {
	// proc(5) counts these fields 3, 4, 5, 6, 9, 20 and 22.
	const state, ppid, pgrp, session, flags, threads, start = 0, 1, 2, 3, 6, 17, 19
	const exiting, kernelThread = 0x00000004, 0x00200000 // PF_EXITING, PF_KTHREAD of sched.h
	fields, ok := readStat(strconv.Itoa(pid))
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

// executed reports whether a process has all that execve(2) gives it. The kernel sets the
// place of the code last, after the environment (load_elf_binary).
func executed(place string) bool {
	const startCode = 23 // proc(5) counts it 26
	fields, ok := readStat(place)
	return !ok || len(fields) > startCode && fields[startCode] != "0"
}

// readStat returns the fields of stat from the third on. The second is the name in
// parentheses, and may hold spaces and parentheses.
func readStat(place string) ([]string, bool) {
	stat, err := readProcFile(place, "stat")
	end := bytes.LastIndexByte(stat, ')')
	if err != nil || end < 0 {
		return nil, false
	}
	return strings.Fields(string(stat[end+1:])), true
}

// readProcFile reads stat, environ or comm of a process or a thread. A read that does not
// fill the buffer is the last. os.ReadFile does more for files of other kinds. That took
// most of the time of a look, which reads two files of every process.
func readProcFile(place, name string) ([]byte, error) {
	fd, err := unix.Open(procDir()+"/"+place+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
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
