package waitq

import (
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
)

// However many wait behind the first, all together they look no more often than a few of
// them would.
func TestManyWaitersLookNoMoreThanAFew(t *testing.T) {
	t.Parallel()
	looks := 0.0 // in a second
	for ahead := 1; ahead < 1000; ahead++ {
		q := &Queue{Look: LookEvery, ahead: ahead}
		looks += 1 / q.nextLook().Seconds()
	}
	if looks > 2.5 {
		t.Errorf("1000 waiters look %.1f times a second", looks)
	}
}

// Those ahead take a free lock that the first leaves alone before those behind them.
func TestThoseAheadAreServedFirst(t *testing.T) {
	t.Parallel()
	before := time.Duration(0)
	for ahead := 1; ahead < 20; ahead++ {
		q := &Queue{Look: LookEvery, ahead: ahead, free: true}
		if got := q.nextLook(); got <= before {
			t.Errorf("with %d ahead after %s, with one less after %s", ahead, got, before)
		} else {
			before = got
		}
	}
}

// Two looks in a row have to find the lock free. Between them the first in the queue,
// which gets a hint, has the time to take it.
func TestTheFirstHasTheTimeToTakeALockThatIsSeenFree(t *testing.T) {
	t.Parallel()
	name := testbroker.Name()
	first, w := testWaiter(t, name, nil), testWaiter(t, name, nil)
	ahead, err := first.join(t.Context(), first.open(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	place, err := w.join(t.Context(), w.open(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	w.rank.unknown = false // no other has a priority
	looks := func(want ...bool) {
		t.Helper()
		for i := range want {
			if got := w.neglected(t.Context(), place); got != want[i] {
				t.Errorf("look %d: neglected %t, want %t", i, got, want[i])
			}
		}
	}
	looks(false)
	hint := testbroker.Receive(t, "a hint for the first", ahead.hints)
	_ = hint.Ack(false)
	holder := first.Link.Requests
	if err := holder.Claim(name); err != nil {
		t.Fatal(err)
	}
	looks(false, false)
	if err := holder.Remove(name); err != nil {
		t.Fatal(err)
	}
	looks(false, true)
}
