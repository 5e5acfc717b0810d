package main

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/runner"
)

const eraseLine = "\r\x1b[K"

// showLive replaces the live line; "" erases it.
func showLive(text string) {
	messages.Lock()
	defer messages.Unlock()
	if text == messages.live {
		return
	}
	if canDraw() {
		write(eraseLine + fit(text))
	}
	messages.live = text
}

// aroundLive is text such that the live line stands behind it.
func aroundLive(text string) string {
	if messages.live == "" || !canDraw() {
		return text
	}
	return eraseLine + text + fit(messages.live)
}

// canRedraw tells whether standard error is a terminal that can erase a line, for people to read.
func canRedraw() bool {
	term := os.Getenv("TERM")
	_, err := unix.IoctlGetWinsize(unix.Stderr, unix.TIOCGWINSZ)
	return err == nil && !messages.json && term != "" && term != "dumb"
}

// canDraw tells whether the terminal is ours now: in the background somebody else's line would be erased. A terminal that controls no session
// has no background.
func canDraw() bool {
	group, err := unix.IoctlGetInt(unix.Stderr, unix.TIOCGPGRP)
	return (err != nil || group == unix.Getpgrp()) && writable(0)
}

// writable tells whether standard error takes a line within patience: a terminal after Ctrl-S does not, nor does a full pipe. What can as well be left
// out shall hold nothing up.
func writable(patience time.Duration) bool {
	for deadline := time.Now().Add(patience); ; {
		fds := []unix.PollFd{{Fd: int32(unix.Stderr), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, int(max(time.Until(deadline), 0).Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return err != nil || n > 0 // what is wrong with it the write will find out
		}
	}
}

// fit cuts text to the width of the terminal. What is not ASCII may be two columns wide, or none.
func fit(text string) string {
	room := 80
	if size, err := unix.IoctlGetWinsize(unix.Stderr, unix.TIOCGWINSZ); err == nil && size.Col > 0 {
		room = int(size.Col)
	}
	room-- // the last column may move the cursor to the next line
	for i, r := range text {
		if room--; r >= 0x80 {
			room--
		}
		if room < 0 {
			return text[:i]
		}
	}
	return text
}

// write writes to standard error, from the background too, also where the terminal is set to stop who does that (stty tostop): who holds a
// lock must not be stopped for its messages.
func write(text string) {
	runner.Unstoppable(func() { _, _ = os.Stderr.WriteString(text) })
}
