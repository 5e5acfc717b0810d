package amqplock

import (
	"testing"
	"time"
)

const second = time.Second

func TestLeaseRunsFromTheOlderProof(t *testing.T) {
	l := newLease(10*second, 5*second, []check{{name: "own"}, {name: "majority"}})
	l.prove(0, 100*second)
	l.prove(1, 100*second)
	if got, want := l.until(), 119*second; got != want { // 2T less a margin of T/10
		t.Errorf("until %s, want %s", got, want)
	}
	if got, want := l.stopAt(), 114*second; got != want {
		t.Errorf("stop at %s, want %s", got, want)
	}
	// In a node that is cut off one check goes on: it does not renew the lease.
	l.prove(0, 130*second)
	if got, want := l.until(), 119*second; got != want {
		t.Errorf("with one stalled check until %s, want %s", got, want)
	}
	if got := l.oldest().check; got != "majority" {
		t.Errorf("the stalled check is %q, want majority", got)
	}
	l.prove(1, 110*second)
	if got, want := l.until(), 129*second; got != want {
		t.Errorf("until %s, want %s", got, want)
	}
	// An answer that comes late proves nothing about now.
	l.prove(1, 90*second)
	if got, want := l.until(), 129*second; got != want {
		t.Errorf("after a late answer until %s, want %s", got, want)
	}
}

// A lease has to end before the broker, which measures from the last byte it got, frees the lock at the earliest: after 2T.
func TestLeaseEndsBeforeTheBrokerFrees(t *testing.T) {
	for heartbeat := minHeartbeat; heartbeat <= 120*second; heartbeat += second {
		l := newLease(heartbeat, second, []check{{}})
		if slack := 2*heartbeat - l.until(); slack < 200*time.Millisecond {
			t.Errorf("T=%s: only %s are left", heartbeat, slack)
		}
	}
}

func TestTimings(t *testing.T) {
	tests := []struct {
		heartbeat, interval, stop time.Duration
		want                      bool
	}{
		{10 * second, 3 * second, 5 * second, true},
		{6 * second, 3 * second, 5 * second, true},
		{5 * second, 3 * second, 5 * second, false},
		{2 * second, second, second, true},
		{2 * second, 2 * second, second, false},
	}
	for _, test := range tests {
		if got := timingsWork(test.heartbeat, test.interval, test.stop); got != test.want {
			t.Errorf("timingsWork(%s, %s, %s) = %t", test.heartbeat, test.interval, test.stop, got)
		}
	}
}
