package runner

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/internal/sys"
)

// lastSignal is the highest there is.
const lastSignal = 64

// guardSocket is where the guard finds its end of the socket pair.
const guardSocket = 3

// IsGuard reports whether this process was started by StartGuard. Ask before anything else, and then call RunGuard.
func IsGuard() bool {
	return len(os.Args) == 1 && os.Args[0] == guardName && os.Getenv("AMQPRUN_GUARD") != ""
}

// RunGuard is the guard's main function. It returns the exit code of the process.
func RunGuard() int {
	ignoreSignals()
	// What amqprun inherited beyond 2 was not close-on-exec: held open here, it would keep `$(amqprun ...)` waiting.
	_ = unix.CloseRange(guardSocket+1, ^uint(0)>>1, 0)
	_ = os.WriteFile("/proc/self/comm", []byte(guardName), 0)
	unix.CloseOnExec(guardSocket)
	timer, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return exitOwnFailure
	}
	g := &guardProcess{timer: timer, kept: -1}
	runtime.LockOSThread()
	g.run()
	return 0
}

// ignoreSignals ignores all that can be ignored. os/signal would leave out what the Go runtime panics of; when one of those is no
// message but a fault, the kernel ends us nevertheless.
func ignoreSignals() {
	ignore := sys.Ignore
	for s := syscall.Signal(1); s <= lastSignal; s++ {
		sys.SetAction(s, &ignore, nil)
	}
}

// guardProcess is the state of the guard. One goroutine owns it.
type guardProcess struct {
	watch watch
	id    string
	born  uint64 // when the group's leader was started, see proc
	timer int
	lean  bool          // memory that only the start needed has been given back
	kept  int           // the duplicate of the connection's socket, -1 for none
	cut   bool          // its other end has closed it
	tick  time.Duration // until the next look at a tree that is to end by itself

	strangers strangers
}

func (g *guardProcess) run() {
	for {
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

// tree is what the guard can reach. When amqprun is dead its descendants have other parents: a process that has left the
// group and wiped its environment is out of reach then.
func (g *guardProcess) tree() tree {
	t := tree{pgid: int(g.watch.Group), id: g.id, born: g.born}
	if p, ok := readProc(t.pgid); ok && p.start != g.born {
		t.pgid = 0 // everybody in the group has ended, and its number is in use again
	}
	if !g.watch.abandoned {
		t.root = int(g.watch.Amqprun)
	}
	return t
}

// signal sends signals to all members of the tree, and reports whether there are any, or may be. A group is signalled as such only when a member of it
// was seen: its leader may have been collected, and its id belong to others.
func (g *guardProcess) signal(t tree, signals ...syscall.Signal) (found bool) {
	grouped := false
	members, more := t.look()
	for _, p := range members {
		if grouped = grouped || t.pgid != 0 && p.pgrp == t.pgid; p.pgrp != t.pgid {
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

// stop sends the stop signal. While amqprun lives nobody but amqprun wakes a stopped command: after Ctrl-Z it has to verify the lock first. And the
// descendants are all that is looked for: SIGKILL may be due soon, and must not wait for a look through /proc.
func (g *guardProcess) stop() {
	signal := syscall.Signal(g.watch.Signal)
	if g.watch.abandoned {
		g.signal(g.tree(), signal, syscall.SIGCONT)
		return
	}
	g.signalGroup(signal)
	g.tree().signal(signal)
}

// allDead reports whether several looks found nothing; what they find gets signals. One is not enough: a process can hide behind its own
// forking.
func (g *guardProcess) allDead(signals ...syscall.Signal) bool {
	for range looks {
		t := g.tree()
		t.strangers, t.patient = g.strangers.recent(), true
		if g.signal(t, signals...) {
			return false
		}
	}
	return true
}

const looks = 3

// signalGroup spares the group the wait for a look through /proc, if its leader proves that it is still the same.
func (g *guardProcess) signalGroup(s syscall.Signal) {
	pgid := int(g.watch.Group)
	if leader, ok := readProc(pgid); ok && leader.start == g.born {
		_ = syscall.Kill(-pgid, s)
	}
}

// killAll returns when all are dead.
func (g *guardProcess) killAll() {
	g.signalGroup(syscall.SIGKILL)
	if !g.watch.abandoned {
		g.tree().signal(syscall.SIGKILL) // at once: the looks that follow take their time
	}
	for pause := time.Millisecond; !g.allDead(syscall.SIGKILL); pause = min(2*pause, time.Second) {
		g.pause(pause)
	}
}

// leanAfter is how long the guard is idle, in milliseconds, before it gives memory back: longer than between the checks that follow a grant,
// and it saves the guards of short commands the work.
const leanAfter = 1500

// pause waits for d and for messages.
func (g *guardProcess) pause(d time.Duration) { g.wait(sys.Boottime() + d) }

// wait returns when amqprun or the connection has ended, at the instant until (0: none), and, when amqprun is dead, soon. Before the command
// starts it returns for each message too; later ones, which put the deadline off, are read when there is something to decide: to wake up is
// what a guard costs.
func (g *guardProcess) wait(until time.Duration) {
	if g.watch.abandoned { // most commands die at once, and somebody waits for the lock
		g.tick = min(max(2*g.tick, time.Millisecond), lookEvery)
		until = min(until, sys.Boottime()+g.tick)
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(until))} // 0 disarms
	_ = unix.TimerfdSettime(g.timer, unix.TFD_TIMER_ABSTIME, &spec, nil)
	started := g.watch.Group != 0
	amqprun := unix.PollFd{Fd: guardSocket} // no events: only its end
	if !started {
		amqprun.Events = unix.POLLIN
	}
	fds := []unix.PollFd{{Fd: int32(g.timer), Events: unix.POLLIN}, amqprun}
	switch {
	case g.watch.abandoned:
		fds = fds[:1] // the end of file stays readable
	case g.kept >= 0 && !g.cut && started: // before that there is nothing to stop
		fds = append(fds, unix.PollFd{Fd: int32(g.kept), Events: unix.POLLRDHUP})
	}
	patience := -1
	if !g.lean && !g.watch.abandoned {
		patience = leanAfter
	}
	n, err := unix.Poll(fds, patience)
	if err != nil {
		return
	}
	if n == 0 {
		g.lean = true
		dropFileMappings()
		return
	}
	for !g.watch.abandoned && g.receive() { // first, for it may say that amqprun knows
	}
	if len(fds) > 2 && fds[2].Revents != 0 {
		g.cut = true
		g.watch.disconnected(sys.Boottime())
	}
}

// receive takes a message, if there is one.
func (g *guardProcess) receive() (more bool) {
	var message [maxMessage]byte
	var rights [64]byte
	n, nr, _, _, err := unix.Recvmsg(guardSocket, message[:], rights[:], unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN:
		return false
	case err == unix.EINTR:
		return true
	case err != nil || n == 0:
		g.watch.abandoned, g.watch.abandonedAt = true, sys.Boottime()
		return false
	}
	g.keep(rights[:nr])
	if o, id, err := decodeOrders(message[:n]); err == nil {
		if g.watch.Group == 0 && o.Group != 0 {
			leader, _ := readProc(int(o.Group))
			g.born = leader.start
		}
		g.watch.orders, g.id = o, id
	}
	return true
}

// keep takes the descriptor that came with a message, if one did, in the place of the one before.
func (g *guardProcess) keep(rights []byte) {
	if len(rights) == 0 {
		return
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if g.kept >= 0 {
				unix.Close(g.kept)
			}
			g.kept, g.cut = fd, false
		}
	}
}
