package runner

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/internal/sys"
)

// guardSocket is where the guard finds its end of the socket pair.
const guardSocket = 3

// guardThreads is how many threads the guard makes before the command can use up its
// limit of processes.
const guardThreads = 2

// IsGuard reports whether this process was started as a guard. Ask before anything else,
// and then call RunGuard.
func IsGuard() bool {
	return len(os.Args) == 1 && os.Args[0] == guardName && os.Getenv("AMQPRUN_GUARD") != ""
}

// RunGuard is the guard's main function. It returns the exit code of the process.
func RunGuard() int {
	ignoreSignals()
	closeInherited()
	timer, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return exitOwnFailure
	}
	reserveThreads(guardThreads)
	_ = os.WriteFile("/proc/self/comm", []byte(guardName), 0) // the sign that it is ready
	g := &guardProcess{timer: timer, kept: -1}
	runtime.LockOSThread()
	for g.receive(0) && g.watch.Group == 0 {
	}
	g.run()
	return 0
}

// closeInherited closes the descriptors behind the socket that amqprun has inherited
// itself. Held open here, one would keep `$(amqprun ...)` waiting. They are those that
// are not close-on-exec. The Go runtime may have opened others.
func closeInherited() {
	unix.CloseOnExec(guardSocket)
	open, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range open {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= guardSocket {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

// ignoreSignals ignores every signal that can be ignored. Package os/signal would leave
// out those of which the Go runtime panics. A real fault kills the process nevertheless.
func ignoreSignals() {
	const last = 64
	for s := syscall.Signal(1); s <= last; s++ {
		sys.SetAction(s, &sys.Ignore, nil)
	}
}

// guardProcess is the state of the guard. One goroutine owns it.
type guardProcess struct {
	watch watch
	id    string
	timer int
	kept  int // the duplicate of the connection's socket, -1 for none

	tick time.Duration // until the next look at a tree that is to end by itself

	unrelated memory
}

func (g *guardProcess) run() {
	for g.watch.Group != 0 || !g.watch.abandoned {
		a, wake := g.watch.due(sys.Boottime())
		switch a {
		case stop:
			g.stop()
			g.watch.did(stop)
		case kill:
			g.killAll()
			g.watch.did(kill)
			if g.watch.abandoned {
				return
			}
		default:
			if g.watch.abandoned && g.allDead() {
				return
			}
			g.wait(wake)
		}
	}
}

// tree is what the guard can reach. The descendants of a dead amqprun have other
// parents. One of them that has left the group and wiped its environment is out of
// reach.
func (g *guardProcess) tree() tree {
	t := tree{pgid: int(g.watch.Group), id: g.id, born: g.watch.Born}
	if p, ok := readProc(t.pgid); ok && p.start != t.born {
		t.pgid = 0 // the whole group has ended, and another process has its number
	}
	if !g.watch.abandoned {
		t.root = int(g.watch.Amqprun)
	}
	return t
}

// signal sends signals to all members of the tree. It reports whether there are any, or
// may be. It signals the group as such only if it has seen a member. amqprun may have
// collected the leader, and the group's id may belong to others.
func (g *guardProcess) signal(t tree, signals ...syscall.Signal) (found bool) {
	grouped := false
	members, more := t.look()
	for _, p := range members {
		if t.pgid != 0 && p.pgrp == t.pgid {
			grouped = true
		} else {
			p.signal(signals...)
		}
	}
	for _, s := range signals {
		if grouped {
			_ = syscall.Kill(-t.pgid, s)
		}
	}
	return more || len(members) > 0
}

// stop sends the stop signal. While amqprun lives, only amqprun wakes a stopped command:
// after Ctrl-Z it has to verify the lock first. And then the guard looks for descendants
// alone: SIGKILL may be due soon, and must not wait for a look through /proc.
func (g *guardProcess) stop() {
	signal := syscall.Signal(g.watch.Signal)
	if g.watch.abandoned {
		g.signal(g.tree(), signal, syscall.SIGCONT)
		return
	}
	g.signalGroup(signal)
	g.tree().signal(signal)
}

// looks is how many looks in a row have to find nothing: a process can hide behind its
// own forking.
const looks = 3

// allDead reports whether the looks have found nothing. A member that they find gets
// signals.
func (g *guardProcess) allDead(signals ...syscall.Signal) bool {
	for range looks {
		t := g.tree()
		t.unrelated, t.patient = g.unrelated.recent(), true
		if g.signal(t, signals...) {
			return false
		}
	}
	return true
}

// signalGroup signals the group before the look through /proc, if its leader proves that
// it is still the same group.
func (g *guardProcess) signalGroup(s syscall.Signal) {
	pgid := int(g.watch.Group)
	if leader, ok := readProc(pgid); ok && leader.start == g.watch.Born {
		_ = syscall.Kill(-pgid, s)
	}
}

// killAll returns when all are dead.
func (g *guardProcess) killAll() {
	g.signalGroup(syscall.SIGKILL)
	if !g.watch.abandoned {
		g.tree().signal(syscall.SIGKILL) // before the looks, which take their time
	}
	for pause := time.Millisecond; !g.allDead(syscall.SIGKILL); pause = min(2*pause, time.Second) {
		g.wait(sys.Boottime() + pause)
	}
}

// wait returns at the instant until (0: none), when amqprun or the connection has ended,
// and soon when amqprun is dead. It does not return for a message: to wake up is what a
// guard costs. It reads renewals when there is something to decide.
func (g *guardProcess) wait(until time.Duration) {
	if g.watch.abandoned { // most commands die at once, and a waiter wants the lock
		g.tick = min(max(2*g.tick, time.Millisecond), lookEvery)
		until = min(until, sys.Boottime()+g.tick)
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(until))} // 0 disarms
	_ = unix.TimerfdSettime(g.timer, unix.TFD_TIMER_ABSTIME, &spec, nil)
	fds := []unix.PollFd{{Fd: int32(g.timer), Events: unix.POLLIN}, {Fd: -1}, {Fd: -1}}
	if !g.watch.abandoned { // after it, the end of file would end every wait
		fds[1].Fd = guardSocket // no events: only its end
		if g.watch.Pauses {     // orders can take the connection, or bring another
			fds[1].Events = unix.POLLIN
		}
		fds[2] = unix.PollFd{Fd: int32(g.kept), Events: unix.POLLRDHUP}
	}
	if _, err := unix.Poll(fds, -1); err != nil {
		return
	}
	for !g.watch.abandoned && g.receive(unix.MSG_DONTWAIT) {
	}
	// After the messages: one of them may say that amqprun knows, or have brought another
	// connection under the same number.
	if fds[2].Revents != 0 && hungUp(g.kept) {
		g.letGo()
		g.watch.disconnected(sys.Boottime())
	}
}

// receive takes a message. It reports whether to try again.
func (g *guardProcess) receive(flags int) (more bool) {
	var message [maxMessage]byte
	var rights [64]byte
	n, nr, _, _, err := unix.Recvmsg(guardSocket, message[:], rights[:], unix.MSG_CMSG_CLOEXEC|flags)
	switch {
	case err == unix.EAGAIN:
		return false
	case err == unix.EINTR:
		return true
	case err != nil || n == 0:
		g.watch.abandoned, g.watch.abandonedAt = true, sys.Boottime()
		return false
	}
	if o, id, err := decodeOrders(message[:n]); err == nil {
		if o.Paused && !g.watch.Paused {
			g.letGo()
		}
		g.watch.orders, g.id = o, id
	}
	g.keep(rights[:nr])
	return true
}

// keep takes the descriptor that came with a message, if one did.
func (g *guardProcess) keep(rights []byte) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) == 0 {
		return
	}
	if fds, err := unix.ParseUnixRights(&messages[0]); err == nil && len(fds) == 1 {
		g.letGo()
		g.kept = fds[0]
	}
}

// letGo closes the duplicate of the connection's socket, if there is one.
func (g *guardProcess) letGo() {
	if g.kept >= 0 {
		unix.Close(g.kept)
		g.kept = -1
	}
}
