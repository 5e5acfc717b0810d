package history

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b []int
		want bool
	}{
		{nil, nil, true}, // a mutex
		{nil, []int{1}, false},
		{[]int{1}, nil, false},
		{[]int{1}, []int{1}, true},
		{[]int{1}, []int{2}, false},
		{[]int{1, 2, 5}, []int{5, 6}, true},
	} {
		if got := overlap(test.a, test.b); got != test.want {
			t.Errorf("overlap of %v and %v: %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

// grantSlots takes a token for these slots.
func grantSlots(t *testing.T, l *Log, id string, slots ...int) Record {
	t.Helper()
	tail, err := l.Open(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	granted, err := tail.Grant(deadline(t), Record{Kind: l.kind, ID: id, Slots: slots}, uncut)
	if err != nil {
		t.Fatal(err)
	}
	return granted
}

func TestOthersAreThoseOfOurSlotSinceOurGrant(t *testing.T) {
	l := testLog(t)
	l.kind = wire.Semaphore
	grantSlots(t, l, "before", 2)
	own := grantSlots(t, l, "own", 2, 3)
	grantSlots(t, l, "elsewhere", 1)
	again := grantSlots(t, l, "own", 2, 3)
	if others, err := l.Others(deadline(t), own, again.Read.Offset); err != nil || len(others) > 0 {
		t.Errorf("others: %v, %v", others, err)
	}
	grantSlots(t, l, "other", 3, 4)
	last := grantSlots(t, l, "own", 2, 3)
	grantSlots(t, l, "later", 2)
	others, err := l.Others(deadline(t), own, last.Read.Offset)
	if err != nil || len(others) == 0 {
		t.Errorf("others: %v, %v", others, err)
	}
	for _, r := range others { // the grant may have needed two tries
		if r.ID != "other" {
			t.Errorf("a grant of %s", r.ID)
		}
	}
}

// A run that meets reserved slots has to withdraw. It may be cut off before it can write
// that.
func TestOthersThatHadToWithdrawAreNone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		regain time.Duration
		token  bool
		ran    bool
		want   bool
	}{
		"reserved":          {time.Hour, true, false, false},
		"over":              {time.Millisecond, true, false, true},
		"without a fence":   {time.Hour, false, false, true},
		"not to be resumed": {0, true, false, true},
		"it ran":            {time.Hour, true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := testLog(t)
			own, _ := grantFor(t, l, Record{ID: "own", Regain: test.regain.Seconds()})
			grantFor(t, l, Record{ID: "first"}) // which notes that own is gone
			mustAppend(t, l, Record{Type: TypeEnd, Kind: l.kind, ID: "first", Result: ResultWithdrawn})
			<-time.After(1100 * time.Millisecond) // the broker's time is known to the second
			if test.token {
				grantFor(t, l, Record{ID: "second"})
			} else {
				mustAppend(t, l, Record{Type: TypeGrant, Kind: l.kind, ID: "second", At: time.Now()})
			}
			if test.ran {
				mustAppend(t, l, Record{Type: TypeEnd, Kind: l.kind, ID: "second", Result: "ended"})
			}
			again, _ := grantFor(t, l, Record{ID: "own", Regain: test.regain.Seconds(), Regained: true})
			others, err := l.Others(deadline(t), own, again.Read.Offset)
			if err != nil || (len(others) > 0) != test.want {
				t.Errorf("others: %+v, %v", others, err)
			}
		})
	}
}

func TestOthersOfALogThatWasDeletedAreNotKnown(t *testing.T) {
	l := testLog(t)
	for i := range 3 {
		mustGrant(t, l, fmt.Sprint(i))
	}
	own := mustGrant(t, l, "own")
	deleteQueue(t, l)
	for i := range 9 {
		mustGrant(t, l, fmt.Sprint(i))
	}
	again := mustGrant(t, l, "own")
	if _, err := l.Others(deadline(t), own, again.Read.Offset); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("others: %v", err)
	}
}
