package runner

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestRequestsToEndAreCounted(t *testing.T) {
	const ms = time.Millisecond
	start := time.Now()
	var e ends
	for _, c := range []struct {
		s           os.Signal
		at          time.Duration
		own         bool
		terms, ends int
	}{
		{syscall.SIGTERM, 0, true, 1, 1},
		{syscall.SIGTERM, 99 * ms, false, 1, 1}, // systemd: the main process, and its group
		{syscall.SIGINT, 99 * ms, true, 1, 2},   // another signal is another request
		{syscall.SIGUSR1, 99 * ms, true, 1, 2},
		{syscall.SIGUSR1, 99 * ms, true, 1, 2},
		{syscall.SIGTERM, 100 * ms, true, 2, 3}, // 100 ms after the first, and not after its echo
		{syscall.SIGINT, 198 * ms, false, 2, 3},
		{syscall.SIGINT, 199 * ms, true, 2, 4},
	} {
		if own := e.add(c.s, start.Add(c.at)); own != c.own || e.terms != c.terms || e.all != c.ends {
			t.Errorf("%v at %v: own=%t terms=%d all=%d, want %t %d %d", c.s, c.at, own, e.terms, e.all,
				c.own, c.terms, c.ends)
		}
	}
}

// TestBounded is the grace of a stop against the lease, by a fake clock.
func TestBounded(t *testing.T) {
	for _, c := range []struct{ grace, until, want time.Duration }{
		{105 * second, 0, 105 * second},
		{105 * second, 200 * second, 105 * second},
		{105 * second, 103 * second, 103 * second},
		{105 * second, 50 * second, 50 * second}, // long over, as after a suspend: no grace at all
	} {
		r := newRun(&Command{Until: func() time.Duration { return c.until }}, nil)
		if got := r.bounded(c.grace); got != c.want {
			t.Errorf("grace to %v, lease to %v: %v, want %v", c.grace, c.until, got, c.want)
		}
	}
	if got := newRun(&Command{}, nil).bounded(second); got != second {
		t.Errorf("without Until: %v", got)
	}
}

// Ctrl-Z is answered soon or not at all: who ignores it may be stopped by somebody much
// later.
func TestIsEcho(t *testing.T) {
	for _, c := range []struct {
		then, now time.Duration
		want      bool
	}{
		{0, time.Second, false},
		{time.Hour, time.Hour, true},
		{time.Hour, time.Hour + echoWithin - 1, true},
		{time.Hour, time.Hour + echoWithin, false},
	} {
		if got := isEcho(c.then, c.now); got != c.want {
			t.Errorf("passed on at %v, stopped at %v: %t", c.then, c.now, got)
		}
	}
}
