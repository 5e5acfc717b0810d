package runner

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal is the controlling terminal, if there is one.
type terminal struct {
	fd    int  // of /dev/tty; 0 is none yet
	given bool // the command has it, unless a shell has taken it

	before *unix.Termios // the settings when it was given away
}

// open opens /dev/tty, which is the controlling terminal wherever stdin and stdout lead.
func (t *terminal) open() bool {
	if t.fd == 0 {
		flags := unix.O_RDWR | unix.O_CLOEXEC | unix.O_NOCTTY | unix.O_NONBLOCK
		fd, err := unix.Open("/dev/tty", flags, 0)
		if err != nil {
			return false
		}
		t.fd = fd
	}
	return true
}

// foreground returns the process group that has the terminal, 0 for none.
func (t *terminal) foreground() int {
	if !t.open() {
		return 0
	}
	pgid, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return pgid
}

// offer reports whether the command may have the foreground from its start. It may if
// the foreground is ours, and standard input and output are the terminal: no part of a
// pipeline needs it. The child takes it before its exec.
func (t *terminal) offer() bool {
	for fd := range 2 {
		group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		if err != nil || group != unix.Getpgrp() {
			return false
		}
	}
	t.given = t.open()
	if t.given {
		t.before, _ = unix.IoctlGetTermios(t.fd, ioctlGetTermios)
	}
	return t.given
}

// give makes group the foreground if our own group is, and reports whether group has it.
func (t *terminal) give(group int) bool {
	switch t.foreground() {
	case group:
		return true
	case unix.Getpgrp():
	default:
		return false
	}
	if t.before == nil {
		t.before, _ = unix.IoctlGetTermios(t.fd, ioctlGetTermios)
	}
	t.given = t.setForeground(group)
	return t.given
}

// takeBack makes our group the foreground again if that is group, or one that has died
// with it. It reports whether it has done so.
func (t *terminal) takeBack(group int) bool {
	if !t.given {
		return false
	}
	now := t.foreground()
	lives := now == unix.Getpgrp() || now <= 0 || syscall.Kill(-now, 0) != syscall.ESRCH
	if now != group && lives || !t.setForeground(unix.Getpgrp()) {
		return false
	}
	t.given = false
	return true
}

// borrow takes the terminal back for a while, so that Ctrl-C and Ctrl-Z reach us. A group
// of the command has it: that of its leader, or of a job of a shell. borrow returns this
// group and its settings, which are nil if none had the terminal.
func (t *terminal) borrow(has func(group int) bool) (group int, settings *unix.Termios) {
	if group = t.foreground(); !has(group) {
		return 0, nil
	}
	settings, err := unix.IoctlGetTermios(t.fd, ioctlGetTermios)
	if err != nil || !t.takeBack(group) {
		return 0, nil
	}
	t.restore()
	return group, settings
}

// lend ends what borrow has begun, unless a shell has taken the terminal meanwhile.
func (t *terminal) lend(group int, settings *unix.Termios) {
	if settings == nil || !t.give(group) {
		return
	}
	Unstoppable(func() { _ = unix.IoctlSetTermios(t.fd, ioctlSetTermios, settings) })
}

// restore undoes what has happened to the settings since the terminal was given away.
func (t *terminal) restore() {
	if t.before != nil {
		Unstoppable(func() { _ = unix.IoctlSetTermios(t.fd, ioctlSetTermios, t.before) })
	}
}

func (t *terminal) close() {
	if t.fd != 0 {
		unix.Close(t.fd)
	}
}

func (t *terminal) setForeground(group int) (ok bool) {
	Unstoppable(func() { ok = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group) == nil })
	return ok
}

// Unstoppable calls f, which can use the terminal from the background: with SIGTTOU
// blocked in its thread the kernel does not stop us. The command would inherit an ignored
// signal.
func Unstoppable(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore := blockTTOU()
	defer restore()
	f()
}
