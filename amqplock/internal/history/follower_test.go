package history

import (
	"fmt"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// follow takes a token, and follows the log behind it.
func follow(t *testing.T, l *Log, id string, slots ...int) *Follower {
	t.Helper()
	tail, err := l.Open(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	own, err := tail.Grant(deadline(t), Record{Kind: l.kind, ID: id, Slots: slots}, uncut)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := tail.Follow(own)
	if f == nil {
		t.Skip("nothing is granted twice here")
	}
	t.Cleanup(f.Close)
	return f
}

// readsNewer checks that the next records are of that run, one of them newer than the own
// grant. The first try of a grant may have a token that is too small.
func readsNewer(t *testing.T, f *Follower, id string) {
	t.Helper()
	for {
		r, err := f.Next(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		if r.ID != id {
			t.Errorf("it has read a %s of %s", r.Type, r.ID)
		}
		if f.Supersedes(r) {
			return
		}
	}
}

func TestAFollowerMissesNothingWhileItMoves(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	f := follow(t, l.at(t, 0), "holder")
	f.Conn().Abort()
	if _, err := f.Next(deadline(t)); err == nil {
		t.Fatal("it has read something")
	}
	other := follow(t, l, "other")
	if err := f.Move(deadline(t), f.Conn()); err == nil {
		t.Fatal("it reads on a connection that is closed")
	}
	if err := f.Move(deadline(t), testConn(t)); err != nil {
		t.Fatal(err)
	}
	readsNewer(t, f, "other")
	m, offset := f.Mark(), other.own.Read.Offset
	if m == nil || m.Offset != offset || m.Open.String() != "holder,other" {
		t.Errorf("the mark is %+v", m)
	}
}

func TestAFollowerThatIsRenewedMissesNothing(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	f := follow(t, l.at(t, 0), "holder")
	mustGrant(t, l, "a")
	for range 2 { // what comes between the two is read once
		if err := f.Renew(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
	readsNewer(t, f, "a")
	mustGrant(t, l, "b")
	for f.Mark().Open.String() != "holder,a,b" {
		if _, err := f.Next(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFollowerThatCannotReadShowsItself(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	f := follow(t, l.at(t, 0), "holder")
	newcomer := follow(t, l.at(t, 0), "newcomer")
	f.Conn().Abort()
	if err := f.SignBlind(deadline(t), l.conn, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	r, err := newcomer.Next(deadline(t))
	if err != nil || r.Type != TypeAlive || r.ID != "holder" || r.Seconds != 20 {
		t.Errorf("it has read %+v, %v", r, err)
	}
}

func TestAFollowerReadsALogAnewThatWasDeleted(t *testing.T) {
	t.Parallel()
	for name, earlier := range map[string]int{"a shorter one": 4, "one as long": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := testLog(t)
			for i := range earlier {
				mustAppend(t, l, end(mustGrant(t, l, fmt.Sprint(i))))
			}
			f := follow(t, l.at(t, 0), "holder")
			deleteQueue(t, l)
			if _, err := f.Next(deadline(t)); err == nil {
				t.Fatal("it has read something")
			}
			follow(t, l, "other")
			if err := f.Move(deadline(t), testConn(t)); err != nil {
				t.Fatal(err)
			}
			readsNewer(t, f, "other")
		})
	}
}

func TestOldGrantsDoNotSupersede(t *testing.T) {
	t.Parallel()
	f := &Follower{own: Record{Type: TypeGrant, Kind: wire.Mutex, ID: "own", Token: 7}}
	for _, test := range []struct {
		r    Record
		want bool
	}{
		{Record{Type: TypeGrant, Kind: wire.Mutex, ID: "a", Token: 8}, true},
		{Record{Type: TypeGrant, Kind: wire.Mutex, ID: "a", Token: 6}, false},
		{Record{Type: TypeGrant, Kind: wire.Mutex, ID: "own", Token: 8}, false},
		{Record{Type: TypeGrant, Kind: wire.Mutex, ID: "a"}, false}, // not fenced
		{Record{Type: TypeEnd, Kind: wire.Mutex, ID: "a", Token: 8}, false},
		{Record{Type: TypeAlive, Kind: wire.Mutex, ID: "a", Token: 8}, false},
		{Record{Type: TypeGrant, Kind: wire.Semaphore, ID: "a", Token: 8, Slots: []int{1}}, false},
	} {
		if got := f.Supersedes(&test.r); got != test.want {
			t.Errorf("%+v: %t", test.r, got)
		}
	}
}
