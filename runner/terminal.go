package runner

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal is the controlling terminal, if there is one.
type terminal struct {
	fd     int // of /dev/tty; 0 is none yet
	given  bool
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

// give makes group the foreground if our own group is, and reports whether it did.
func (t *terminal) give(group int) bool {
	if t.foreground() != unix.Getpgrp() {
		return false
	}
	if t.before == nil {
		t.before, _ = unix.IoctlGetTermios(t.fd, ioctlGetTermios)
	}
	t.given = t.setForeground(group)
	return t.given
}

// takeBack makes our group the foreground again if that is still the command's, or a group
// that has died with it. It undoes the settings of a command that was killed before it could
// do so itself.
func (t *terminal) takeBack(group int, s Status) {
	if t.fd == 0 {
		return
	}
	defer unix.Close(t.fd)
	if !t.given {
		return
	}
	now := t.foreground()
	lives := now == unix.Getpgrp() || now <= 0 || syscall.Kill(-now, 0) != syscall.ESRCH
	if now != group && lives || !t.setForeground(unix.Getpgrp()) {
		return
	}
	if _, killed := s.Signal(); killed && t.before != nil {
		Unstoppable(func() { _ = unix.IoctlSetTermios(t.fd, ioctlSetTermios, t.before) })
	}
}

func (t *terminal) setForeground(group int) (ok bool) {
	Unstoppable(func() { ok = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group) == nil })
	return ok
}

// Unstoppable calls f, which can use the terminal from the background: with SIGTTOU blocked
// in its thread the kernel does not stop us. The command would inherit an ignored signal.
func Unstoppable(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore := blockTTOU()
	defer restore()
	f()
}
