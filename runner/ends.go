package runner

import (
	"os"
	"syscall"
	"time"
)

// ends counts the requests to end, SIGINT and SIGTERM, that came from outside.
type ends struct {
	terms, all int
	last       map[os.Signal]time.Time
}

// togetherWithin is how close two equal requests are one: systemd signals the main
// process and then everything in its group.
const togetherWithin = 100 * time.Millisecond

// add reports whether s is a request of its own, and no echo of the one before.
func (e *ends) add(s os.Signal, now time.Time) bool {
	if s != syscall.SIGINT && s != syscall.SIGTERM {
		return true
	}
	last, seen := e.last[s]
	if seen && now.Sub(last) < togetherWithin {
		return false
	}
	if e.last == nil {
		e.last = make(map[os.Signal]time.Time)
	}
	e.last[s] = now
	e.all++
	if s == syscall.SIGTERM {
		e.terms++
	}
	return true
}
