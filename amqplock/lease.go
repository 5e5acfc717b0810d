package amqplock

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// lease is the arithmetic of how long a lock is safe to rely on without hearing from the broker.
//
// RabbitMQ frees a silent client's queues 2T to 3T after the last byte from it (rabbit_heartbeat.erl: "between 2 and 3
// intervals after the last data has been received"), T being the negotiated heartbeat. So what was proven by a request
// sent at t holds until t + 2T. Requests count from when they were sent, since the answer may be old when it arrives.
type lease struct {
	heartbeat time.Duration // T
	stopTime  time.Duration

	mu     sync.Mutex
	proofs []proof
	told   time.Duration // the oldest of them when prove last said that the lease has grown
}

// proof is one kind of check and when its newest request was sent that was answered well. The kinds are kept apart: in a
// node that is cut off one stalls while the other goes on, so that the newest of all would prove nothing.
type proof struct {
	check string
	sent  time.Duration
}

func newLease(heartbeat, stopTime time.Duration, checks []check) *lease {
	l := &lease{heartbeat: heartbeat, stopTime: stopTime, proofs: make([]proof, len(checks))}
	for i, c := range checks {
		l.proofs[i].check = c.name
	}
	return l
}

// margin covers the time to kill a tree of processes, late timers, and clocks that run at different rates.
func margin(heartbeat time.Duration) time.Duration { return heartbeat / 10 }

// timingsWork tells whether a check that is sent at the end of its interval has half a heartbeat to be answered before
// the holder must begin to stop: interval + T/2 + stopTime + margin <= 2T.
func timingsWork(heartbeat, checkInterval, stopTime time.Duration) bool {
	return checkInterval+heartbeat/2+stopTime+margin(heartbeat) <= 2*heartbeat
}

// prove records that check i was answered well, and tells whether the lease has grown by a hundredth of the heartbeat since it last said so:
// the answers to the questions of one instant are one growth, and who is told of it has to wake up.
func (l *lease) prove(i int, sent time.Duration) (grown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proofs[i].sent = max(l.proofs[i].sent, sent)
	oldest := slices.MinFunc(l.proofs, earlier).sent
	if oldest < l.told+l.heartbeat/100 {
		return false
	}
	l.told = oldest
	return true
}

// leaseEnd is when all work must have ended that rests on a proof which was asked for at sent.
func leaseEnd(sent, heartbeat time.Duration) time.Duration {
	return sent + 2*heartbeat - margin(heartbeat)
}

// oldest is the proof that decides.
func (l *lease) oldest() proof {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.MinFunc(l.proofs, earlier)
}

func earlier(a, b proof) int { return cmp.Compare(a.sent, b.sent) }

// until is when all work must have ended; stopAt is when stopping it must begin.
func (l *lease) until() time.Duration  { return leaseEnd(l.oldest().sent, l.heartbeat) }
func (l *lease) stopAt() time.Duration { return l.until() - l.stopTime }
