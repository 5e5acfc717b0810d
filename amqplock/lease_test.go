package amqplock

import (
	"strings"
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
	if l.prove(0, 130*second) {
		t.Error("one check alone has renewed the lease")
	}
	if got, want := l.until(), 119*second; got != want {
		t.Errorf("with one stalled check until %s, want %s", got, want)
	}
	if got := l.oldest().check; got != "majority" {
		t.Errorf("the stalled check is %q, want majority", got)
	}
	if !l.prove(1, 110*second) {
		t.Error("the lease has grown and does not tell")
	}
	if got, want := l.until(), 129*second; got != want {
		t.Errorf("until %s, want %s", got, want)
	}
	if l.prove(1, 110*second+99*time.Millisecond) {
		t.Error("a growth that is not worth a message is told")
	}
	if !l.prove(1, 110*second+100*time.Millisecond) {
		t.Error("small growths do not add up")
	}
	// An answer that comes late proves nothing about now.
	l.prove(1, 90*second)
	if got, want := l.until(), 129*second+100*time.Millisecond; got != want {
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

// The lease is counted from the check that is behind, to the millisecond, whichever that is.
func TestLeaseOfTheCheckThatStalls(t *testing.T) {
	for _, test := range []struct {
		kind   Kind
		method string
		check  string
	}{
		{Mutex, "look", "ownership check"}, {Mutex, "get", "majority check"},
		{Semaphore, "look", "ownership check"}, {Semaphore, "get", "slot check"},
	} {
		t.Run(string(test.kind)+" "+test.method, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				if test.kind == Semaphore {
					cfg = p.semaphore(cfg, 1)
				}
				lock, clock := held5s(t, cfg)
				var proven time.Duration
				stalls := time.Now().Add(100*time.Second + 7*time.Millisecond)
				p.answer(func(r *request) bool {
					stall := r.method == test.method && time.Now().After(stalls)
					switch {
					case stall:
						r.stall()
					case r.method == test.method:
						proven = clock.Now()
					}
					return stall
				})
				<-lock.Context().Done()
				if got, want := lock.Until(), proven+2*10*time.Second-time.Second; got != want {
					t.Errorf("until %s, want %s", got, want)
				}
				if got, want := clock.Now(), lock.Until()-cfg.StopTime; got != want {
					t.Errorf("ended at %s, want %s", got, want)
				}
				if lost := waitLost(t, lock); !strings.Contains(lost.Reason, test.check) || lost.Age != 14*time.Second {
					t.Errorf("%+v, want the %s", lost, test.check)
				}
				_ = lock.Release(t.Context())
			})
		})
	}
}
