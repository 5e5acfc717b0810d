package waitq

import (
	"testing"
	"time"
)

// However many wait behind the first, all together they look no more often than a few of
// them would.
func TestManyWaitersLookNoMoreThanAFew(t *testing.T) {
	t.Parallel()
	looks := 0.0 // in a second
	for ahead := 1; ahead < 1000; ahead++ {
		w := &Waiter{Look: LookEvery, ahead: ahead}
		looks += 1 / w.nextLook().Seconds()
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
		w := &Waiter{Look: LookEvery, ahead: ahead, free: true}
		if got := w.nextLook(); got <= before {
			t.Errorf("with %d ahead after %s, with one less after %s", ahead, got, before)
		} else {
			before = got
		}
	}
}
