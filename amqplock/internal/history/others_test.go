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
	granted := Record{Type: TypeGrant, ID: "second", Slots: []int{1}, Token: 1}
	ended := Record{Type: TypeEnd, ID: "second", Result: "ended"}
	elsewhere, regained, skipped := granted, granted, ended
	elsewhere.Slots, regained.Regained, skipped.Result = []int{2}, true, ResultSkipped
	unfenced := granted
	unfenced.Token = 0
	for name, test := range map[string]struct {
		regain time.Duration
		second []Record // its records
		want   bool
	}{
		"reserved":          {time.Hour, []Record{granted}, false},
		"over":              {time.Millisecond, []Record{granted}, true},
		"without a fence":   {time.Hour, []Record{unfenced}, true},
		"not to be resumed": {0, []Record{granted}, true},

		"it ran":           {time.Hour, []Record{granted, ended}, true},
		"it ran elsewhere": {time.Hour, []Record{granted, elsewhere, ended}, false},
		"it was paused":    {time.Hour, []Record{regained, ended}, false},
		"it did not run":   {time.Hour, []Record{granted, skipped}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := testLog(t)
			l.kind = wire.Semaphore
			own, _ := grantFor(t, l, Record{
				ID: "own", Slots: []int{1}, Regain: test.regain.Seconds(),
			})
			grantFor(t, l, Record{ID: "first", Slots: []int{1}}) // which notes that own is gone
			mustAppend(t, l, Record{Type: TypeEnd, Kind: l.kind, ID: "first", Result: ResultWithdrawn})
			<-time.After(1100 * time.Millisecond) // the broker's time is known to the second
			for _, r := range test.second {
				r.Kind, r.At = l.kind, time.Now()
				if r.Token > 0 {
					grantFor(t, l, r)
				} else {
					mustAppend(t, l, r)
				}
			}
			again, _ := grantFor(t, l, Record{
				ID: "own", Slots: []int{1}, Regain: test.regain.Seconds(), Regained: true,
			})
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
