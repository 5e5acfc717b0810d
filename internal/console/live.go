package console

import (
	"os"

	"github.com/mattn/go-runewidth"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const eraseLine = "\r\x1b[K"

// isTerminal reports whether standard error is a terminal that can erase a line.
func isTerminal() bool {
	kind := os.Getenv("TERM")
	return term.IsTerminal(unix.Stderr) && kind != "" && kind != "dumb"
}

// ownsTerminal reports whether the terminal is ours now: in the background our erasing
// would hit somebody else's line. A terminal that controls no session has no background.
func ownsTerminal() bool {
	group, err := unix.IoctlGetInt(unix.Stderr, unix.TIOCGPGRP)
	return (err != nil || group == unix.Getpgrp()) && writable(0)
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
