package history

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestANewcomerWaitsForThoseThatMayBeAlive(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	const patience = 20 * time.Second
	after := func(d time.Duration) time.Time { return begun.Add(d) }
	list := []OpenGrant{{ID: "a", Beacon: "a"}, {ID: "b"}, {ID: "c", Beacon: "c"}}
	w := newRivalry(list, begun, SignTime)
	looked := ""
	// expire has the time pass, and checks who is left.
	expire := func(when time.Duration, doubtful bool, left string) {
		t.Helper()
		got := w.expire(after(when), patience, func(beacon string) bool {
			looked += beacon
			return beacon == "c"
		})
		if list := strings.Join(slices.Sorted(maps.Keys(w)), ""); list != left || got != doubtful {
			t.Errorf("after %s it waits for %s, doubtful is %t, want %s", when, list, got, left)
		}
	}
	sign := func(id string, seconds float64) *Record {
		return &Record{Type: TypeAlive, ID: id, Seconds: seconds}
	}
	if next := w.next(after(SignTime / 2)); !next.Equal(after(SignTime)) {
		t.Errorf("it looks at %s", next.Sub(begun))
	}
	expire(SignTime-1, false, "abc")
	if w.heed(sign("unrelated", 20), begun) || w.heed(&Record{Type: TypeGrant, ID: "a"}, begun) {
		t.Error("that was no sign of life of a rival")
	}
	expire(SignTime, true, "a") // b has no beacon, and that of c is dark
	expire(SignTime+patience-1, false, "a")
	if strings.Count(looked, "a") != 1 || strings.Count(looked, "c") != 1 {
		t.Errorf("it has looked at %s", looked)
	}
	if !w.heed(sign("a", 30), after(patience)) || w.heed(sign("a", 30), after(patience)) {
		t.Error("the first sign of life was not taken for that")
	}
	expire(patience+30*time.Second-1, false, "a")
	expire(patience+30*time.Second, false, "")

	w = newRivalry([]OpenGrant{{ID: "a"}, {ID: "b"}}, begun, SignTime)
	w.heed(sign("b", 1e300), begun)
	w.heed(&Record{Type: TypeEnd, ID: "a"}, begun)
	expire(mostSeconds*time.Second-1, false, "b")
	w.heed(&Record{Type: TypeEnd, ID: "b"}, begun)
	if len(w) > 0 {
		t.Error("it waits for those that have ended")
	}
}

// patience is for a run that does not answer.
const patience = 3 * SignTime

// await waits for the rivals, and returns for how long, 0 if it did not wait, and who has
// given a sign of life.
func await(t *testing.T, f *Follower) (took time.Duration, alive []string) {
	t.Helper()
	return awaitSign(t, f, SignTime)
}

// awaitSign is await with another time for the sign of life.
func awaitSign(
	t *testing.T, f *Follower, sign time.Duration,
) (took time.Duration, alive []string) {
	t.Helper()
	begun := time.Now()
	waited, err := f.AwaitRivals(deadline(t), sign, patience, func(whose string) error {
		alive = append(alive, whose)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if waited {
		took = time.Since(begun)
	}
	return took, alive
}

func TestANewcomerWaitsForACrashedRunOnce(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	crashed := follow(t, l.at(t, 0), "crashed")
	crashed.Conn().Abort()
	testbroker.WaitFor(t, "the broker to have removed the beacon", func() bool {
		return isDark(deadline(t), l.conn, crashed.beacon.name)
	})
	newcomer := follow(t, l.at(t, 0), "newcomer")
	if took, alive := await(t, newcomer); took < SignTime || len(alive) > 0 {
		t.Errorf("it took %s, alive are %v", took, alive)
	}
	mustAppend(t, l, end(newcomer.own))
	next := follow(t, l.at(t, 0), "next")
	if took, _ := await(t, next); took > 0 {
		t.Errorf("the next took %s", took)
	}
	if crashed.own.Token >= newcomer.own.Token {
		t.Error("tokens do not grow")
	}
}

func TestANewcomerWaitsLongerForOneThatIsConnected(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	follow(t, l.at(t, 0), "stopped")
	took, alive := await(t, follow(t, l.at(t, 0), "newcomer"))
	if took < SignTime+patience || len(alive) != 1 || alive[0] != "a run that does not answer" {
		t.Errorf("it took %s, alive are %v", took, alive)
	}
}

func TestANewcomerOfAnotherSlotDoesNotWait(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	l.kind = wire.Semaphore
	crashed := follow(t, l.at(t, 0), "a", 1)
	crashed.Conn().Abort()
	if took, _ := await(t, follow(t, l, "b", 2)); took > 0 {
		t.Errorf("it took %s", took)
	}
	if took, _ := await(t, follow(t, l, "c", 2, 1)); took < SignTime {
		t.Errorf("it took %s", took)
	}
}

func TestANewcomerWaitsForTheEndOfALiveRun(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	holder := follow(t, l, "holder")
	newcomer := follow(t, l.at(t, 0), "newcomer")
	signed, ended := make(chan error, 1), make(chan time.Time, 1)
	go func() {
		r, err := holder.Next(deadline(t))
		for err == nil && !holder.Supersedes(r) {
			r, err = holder.Next(deadline(t))
		}
		if err == nil {
			err = holder.Sign(deadline(t), time.Hour)
		}
		if signed <- err; err == nil {
			<-time.After(2 * SignTime)
			ended <- time.Now()
			_ = l.Append(deadline(t), end(holder.own))
		}
	}()
	_, alive := awaitSign(t, newcomer, testbroker.Patience)
	over := time.Now()
	if err := <-signed; err != nil {
		t.Fatal(err)
	}
	if len(alive) != 1 || alive[0] != "a run of somebody unknown" || over.Before(<-ended) {
		t.Errorf("alive are %v, or it did not wait for the end", alive)
	}
}

func TestANewcomerGivesUpForANewerOne(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	follow(t, l, "holder")
	newcomer := follow(t, l.at(t, 0), "newcomer")
	follow(t, l.at(t, 0), "newest")
	_, err := newcomer.AwaitRivals(deadline(t), testbroker.Patience, patience, nil)
	if newer := (*SupersededError)(nil); !errors.As(err, &newer) || newer.By.ID != "newest" {
		t.Errorf("got %v", err)
	}
}

// A newcomer that waits for the end of its last rival does not read what is behind that.
func TestANewcomerThatHasWaitedCatchesUp(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	holder := follow(t, l, "holder")
	newcomer := follow(t, l.at(t, 0), "newcomer")
	mustAppend(t, l, end(holder.own))
	newest := follow(t, l.at(t, 0), "newest")
	mustAppend(t, l, end(newest.own))
	await(t, newcomer)
	err := newcomer.CatchUp(deadline(t))
	if newer := (*SupersededError)(nil); !errors.As(err, &newer) || newer.By.ID != "newest" {
		t.Errorf("got %v", err)
	}
	last := follow(t, l.at(t, 0), "last")
	last.messages = make(chan amqp.Delivery) // from now on it gets nothing, see Renew
	if err := last.CatchUp(deadline(t)); err != nil {
		t.Error(err)
	}
}

func TestTheEndOfAContextEndsTheWait(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	follow(t, l, "holder")
	newcomer := follow(t, l.at(t, 0), "newcomer")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := newcomer.AwaitRivals(ctx, SignTime, patience, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A newcomer that was starved has the sign of life, and finds the time for it over.
func TestASignOfLifeThatIsThereIsNotLate(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	holder := follow(t, l, "holder")
	newcomer := follow(t, l.at(t, 0), "newcomer")
	if err := holder.Sign(deadline(t), time.Minute); err != nil {
		t.Fatal(err)
	}
	there := make(chan amqp.Delivery, 1)
	there <- testbroker.Receive(t, "the sign of life", newcomer.messages)
	newcomer.messages = there
	w := newRivalry([]OpenGrant{{ID: "holder"}}, time.Now().Add(-time.Hour), SignTime)
	whose, err := newcomer.awaitRival(deadline(t), w, 0)
	if err != nil || whose == "" || w["holder"] == nil || !w["holder"].alive {
		t.Errorf("alive is %q, %v", whose, err)
	}
}
