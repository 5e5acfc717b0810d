package waitq

import (
	"context"
	"math/rand/v2"
	"time"
)

// A waiter behind the first looks now and then whether the lock is free. The first may be
// frozen: a stopped process, a paused container. Its connection lives on for two to three
// heartbeats, and it gets the hints.
const (
	// LookEvery is between two looks of the second in the queue, and how long a lock has to
	// stay free before that one takes it. The k-th behind the first looks k² times as
	// seldom, so a thousand together look twice in that time. Each waiter ahead adds half
	// of it to how long the lock has to stay free. So of those that see it free together
	// the first takes it. One that looks much later is overtaken.
	LookEvery = time.Second
	rareLook  = time.Hour
	// manySlots is from how many slots on looks are rarer, as each of them costs more.
	manySlots = 32
)

// neglected reports whether the first in the queue leaves a free lock alone: two looks in
// a row have found it free. After the first of them the first in the queue gets a hint.
// It is not for us while one of a higher priority answers, which looks too. An answer may
// take as long as a look.
func (q *Queue) neglected(ctx context.Context, place *Place) bool {
	if q.first || q.behind() == 0 {
		return false
	}
	if q.rank.unknown {
		q.countAhead(ctx, place, rankPatience)
		return false
	}
	before := q.free
	q.free, q.slots = q.Link.FreeNow(ctx, q.Lock)
	if q.free && !before {
		q.nudge(ctx)
	}
	if !q.free || !before {
		return false
	}
	q.countAhead(ctx, place, q.Look) // a late answer must not make us overtake
	return q.rank.higher == 0
}

// nextLook is when to look for the next time.
func (q *Queue) nextLook() time.Duration {
	ahead := min(q.behind(), 100)
	switch {
	case q.first || ahead == 0: // the tries are for that
		return rareLook
	case q.rank.unknown:
		return rankAfter
	case q.free:
		return q.Look + time.Duration(ahead-1)*q.Look/2
	}
	pause := min(time.Duration(ahead*ahead*max(q.slots/manySlots, 1))*q.Look, rareLook)
	return pause*3/4 + rand.N(pause/2+1)
}
