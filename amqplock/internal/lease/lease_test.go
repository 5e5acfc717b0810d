package lease

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const second = time.Second

func TestLeaseRunsFromTheOlderProof(t *testing.T) {
	t.Parallel()
	l := New(10*second, 5*second, []string{"own", "majority"})
	l.Prove(0, 100*second)
	l.Prove(1, 100*second)
	if got, want := l.Until(), 119*second; got != want { // 2T less a margin of T/10
		t.Errorf("until %s, want %s", got, want)
	}
	if got, want := l.StopAt(), 114*second; got != want {
		t.Errorf("stop at %s, want %s", got, want)
	}
	// At a node that is cut off one check goes on: it does not renew the lease.
	if l.Prove(0, 130*second) {
		t.Error("one check alone has renewed the lease")
	}
	if got, want := l.Until(), 119*second; got != want {
		t.Errorf("with one stalled check until %s, want %s", got, want)
	}
	if got := l.Oldest().Check; got != "majority" {
		t.Errorf("the stalled check is %q, want majority", got)
	}
	if !l.Prove(1, 110*second) {
		t.Error("the lease has grown and does not report it")
	}
	if got, want := l.Until(), 129*second; got != want {
		t.Errorf("until %s, want %s", got, want)
	}
	if l.Prove(1, 110*second+99*time.Millisecond) {
		t.Error("a growth that is not worth a message is reported")
	}
	if !l.Prove(1, 110*second+100*time.Millisecond) {
		t.Error("small growths do not add up")
	}
	// An answer that comes late proves nothing about now.
	l.Prove(1, 90*second)
	if got, want := l.Until(), 129*second+100*time.Millisecond; got != want {
		t.Errorf("after a late answer until %s, want %s", got, want)
	}
}

// A lease has to end before the broker frees the lock at the earliest. The broker counts
// from the last byte that it got, and frees after 2T.
func TestLeaseEndsBeforeTheBrokerFrees(t *testing.T) {
	t.Parallel()
	for heartbeat := 2 * second; heartbeat <= 120*second; heartbeat += second {
		l := New(heartbeat, second, []string{"own"})
		if slack := 2*heartbeat - l.Until(); slack < 200*time.Millisecond {
			t.Errorf("T=%s: only %s are left", heartbeat, slack)
		}
	}
}

func TestTimings(t *testing.T) {
	t.Parallel()
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
		if got := TimingsWork(test.heartbeat, test.interval, test.stop); got != test.want {
			t.Errorf("TimingsWork(%s, %s, %s) = %t", test.heartbeat, test.interval, test.stop, got)
		}
	}
}
