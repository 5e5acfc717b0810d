// Package lease computes for how long a lock is safe to rely on without an answer from
// the broker. It also has the clock for that.
//
// RabbitMQ frees the queues of a silent client 2T to 3T after the last byte from it. T
// is the negotiated heartbeat. (rabbit_heartbeat.erl: "between 2 and 3 intervals after
// the last data has been received".) So the proof of a request that was sent at t holds
// until t + 2T. A request counts from when it was sent: its answer may be old when it
// arrives.
package lease

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Lease is how long one lock is safe to rely on. Its methods may be called at the same
// time.
type Lease struct {
	heartbeat time.Duration // T
	stopTime  time.Duration

	mu       sync.Mutex
	proofs   []Proof
	reported time.Duration // the oldest of them when Prove last said that the lease has grown
}

// Proof is one kind of check, and when its newest request was sent that was answered
// well. The kinds are kept apart. At a node that is cut off one kind stalls while the
// other goes on, so the newest of all proves nothing.
type Proof struct {
	Check string
	Sent  time.Duration
}

// New makes a lease for a holder that needs stopTime to stop its work, with one proof for
// each of the checks. Nothing is proven yet.
func New(heartbeat, stopTime time.Duration, checks []string) *Lease {
	l := &Lease{heartbeat: heartbeat, stopTime: stopTime, proofs: make([]Proof, len(checks))}
	for i, name := range checks {
		l.proofs[i].Check = name
	}
	return l
}

// Prove records that a request of check i, sent at that instant, was answered well. It
// reports whether the lease has grown by a hundredth of the heartbeat since it last
// reported growth. So the answers to the requests of one instant are one growth: each
// report wakes somebody.
func (l *Lease) Prove(i int, sent time.Duration) (grown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proofs[i].Sent = max(l.proofs[i].Sent, sent)
	oldest := slices.MinFunc(l.proofs, earlier).Sent
	if oldest < l.reported+l.heartbeat/100 {
		return false
	}
	l.reported = oldest
	return true
}

// Oldest is the proof that decides.
func (l *Lease) Oldest() Proof {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.MinFunc(l.proofs, earlier)
}

func earlier(a, b Proof) int { return cmp.Compare(a.Sent, b.Sent) }

// Until is when all work must have ended. StopAt is when its end must begin.
func (l *Lease) Until() time.Duration  { return End(l.Oldest().Sent, l.heartbeat) }
func (l *Lease) StopAt() time.Duration { return l.Until() - l.stopTime }

// Ends are StopAt and Until of one instant.
func (l *Lease) Ends() (stopAt, until time.Duration) {
	until = l.Until()
	return until - l.stopTime, until
}

// Heartbeat is T.
func (l *Lease) Heartbeat() time.Duration { return l.heartbeat }

// End is when all work must have ended that rests on a proof whose request was sent then.
func End(sent, heartbeat time.Duration) time.Duration {
	return sent + 2*heartbeat - margin(heartbeat)
}

// margin covers the time to kill a tree of processes, late timers, and clocks that run at
// different rates.
func margin(heartbeat time.Duration) time.Duration { return heartbeat / 10 }

// TimingsWork reports whether the timings leave half a heartbeat for the answer to the
// last check before the holder must begin to stop. The interval, T/2, the stop time and
// the margin have to fit into 2T.
func TimingsWork(heartbeat, checkInterval, stopTime time.Duration) bool {
	room := Room(heartbeat)
	return checkInterval <= room && stopTime <= room-checkInterval // a sum could overflow
}

// Room is the most that checkInterval and stopTime can be together.
func Room(heartbeat time.Duration) time.Duration { return heartbeat * 14 / 10 }

// HeartbeatFor is the shortest heartbeat with room for both, in whole seconds. It is only
// rough above ten days, which no broker can have.
func HeartbeatFor(checkInterval, stopTime time.Duration) time.Duration {
	const most = 10 * 24 * time.Hour // the sum must not overflow
	need := min(checkInterval, most) + min(stopTime, most)
	return ((need*10+13)/14 + time.Second - 1).Truncate(time.Second)
}
