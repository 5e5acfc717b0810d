package console

import (
	"errors"
	"os"
	"time"

	"github.com/mattn/go-runewidth"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const eraseLine = "\r\x1b[K"

// showLive replaces the live line; an empty text erases it.
func (c *Console) showLive(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text == c.live {
		return
	}
	if ownsTerminal() {
		write(eraseLine + fitTerminal(text))
	}
	c.live = text
}

// beforeLive returns what to write so that text stands before the live line.
func (c *Console) beforeLive(text string) string {
	if c.live == "" || !ownsTerminal() {
		return text
	}
	return eraseLine + text + fitTerminal(c.live)
}

// canRedraw reports whether standard error is a terminal that can erase a line, for
// people.
func (c *Console) canRedraw() bool {
	kind := os.Getenv("TERM")
	return term.IsTerminal(unix.Stderr) && !c.settings.JSON && kind != "" && kind != "dumb"
}

// ownsTerminal reports whether the terminal is ours now: in the background our erasing
// would hit somebody else's line. A terminal that controls no session has no background.
func ownsTerminal() bool {
	group, err := unix.IoctlGetInt(unix.Stderr, unix.TIOCGPGRP)
	return (err != nil || group == unix.Getpgrp()) && writable(0)
}

// writable reports whether standard error takes a line within patience. A terminal after
// Ctrl-S and a full pipe do not.
func writable(patience time.Duration) bool {
	for deadline := time.Now().Add(patience); ; {
		fds := []unix.PollFd{{Fd: int32(unix.Stderr), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, int(max(time.Until(deadline), 0).Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return err != nil || n > 0 // the write finds out what is wrong with it
		}
	}
}

// fitTerminal cuts text to the width of the terminal. The last column stays free, because
// filling it may move the cursor to the next line.
func fitTerminal(text string) string {
	columns := 80
	if width, _, err := term.GetSize(unix.Stderr); err == nil && width > 0 {
		columns = width
	}
	return fit(text, columns-1)
}

// fit cuts text to so many columns. A character can be two columns wide, or none.
func fit(text string, columns int) string { return runewidth.Truncate(text, columns, "") }
