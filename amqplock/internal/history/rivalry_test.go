package history

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestANewcomerWaitsForThoseThatMayBeAlive(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	after := func(d time.Duration) time.Time { return begun.Add(d) }
	w := newRivalry([]Held{{ID: "a"}, {ID: "b"}}, begun)
	expect := func(when time.Duration, until time.Duration) {
		t.Helper()
		if got := w.until().Sub(begun); got != until || w.over(after(when)) != (when >= until) {
			t.Errorf("at %s it waits until %s, over is %t, want %s", when, got, w.over(after(when)), until)
		}
	}
	sign := func(id string, seconds float64) *Record {
		return &Record{Type: TypeAlive, ID: id, Seconds: seconds}
	}
	expect(0, signTime)
	expect(signTime, signTime)
	if w.heed(sign("stranger", 20), begun) || w.heed(&Record{Type: TypeGrant, ID: "a"}, begun) {
		t.Error("that was no sign of life of a rival")
	}
	expect(0, signTime)
	if !w.heed(sign("a", 20), after(time.Second/10)) || w.heed(sign("a", 20), after(time.Second/10)) {
		t.Error("the first sign of life was not taken for that")
	}
	expect(time.Second, 20*time.Second+time.Second/10)
	w.heed(sign("b", 1e300), after(0))
	expect(time.Second, mostSeconds*time.Second)
	w.heed(&Record{Type: TypeEnd, ID: "b"}, after(time.Second))
	expect(time.Second, 20*time.Second+time.Second/10)
	w.heed(&Record{Type: TypeEnd, ID: "a"}, after(2*time.Second))
	if !w.over(after(2 * time.Second)) {
		t.Error("it waits for those that have ended")
	}
}

func TestANewcomerWithoutRivalsDoesNotWait(t *testing.T) {
	t.Parallel()
	if !newRivalry(nil, time.Now()).over(time.Now()) {
		t.Error("it waits for nobody")
	}
}

// await waits for the rivals, and returns for how long, and who has given a sign of life.
func await(t *testing.T, f *Follower) (took time.Duration, alive []string) {
	t.Helper()
	begun := time.Now()
	waited, err := f.AwaitRivals(deadline(t), func(r *Record) error {
		alive = append(alive, r.ID)
		return nil
	})
	took = time.Since(begun)
	if err != nil || waited != (took > time.Millisecond) {
		t.Errorf("waited is %t after %s, %v", waited, took, err)
	}
	return took, alive
}

func TestANewcomerWaitsForACrashedRunOnce(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	crashed := follow(t, l, "crashed").own
	newcomer := follow(t, l.at(t, 0), "newcomer")
	if took, alive := await(t, newcomer); took < signTime || len(alive) > 0 {
		t.Errorf("it took %s, alive are %v", took, alive)
	}
	mustAppend(t, l, end(newcomer.own))
	next := follow(t, l.at(t, 0), "next")
	if took, _ := await(t, next); took > signTime/2 {
		t.Errorf("the next took %s", took)
	}
	if crashed.Token >= newcomer.own.Token {
		t.Error("tokens do not grow")
	}
}

func TestANewcomerOfAnotherSlotDoesNotWait(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	l.kind = wire.Semaphore
	follow(t, l, "a", 1)
	if took, _ := await(t, follow(t, l, "b", 2)); took > signTime/2 {
		t.Errorf("it took %s", took)
	}
	if took, _ := await(t, follow(t, l, "c", 2, 1)); took < signTime {
		t.Errorf("it took %s", took)
	}
}

func TestANewcomerWaitsForTheEndOfALiveRun(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	holder := follow(t, l, "holder")
	newcomer := follow(t, l.at(t, 0), "newcomer")
	signed := make(chan error, 1)
	const work = 2 * signTime
	go func() {
		r, err := holder.Next(deadline(t))
		for err == nil && !holder.Supersedes(r) {
			r, err = holder.Next(deadline(t))
		}
		if err == nil {
			err = holder.Sign(deadline(t), 20*time.Second)
		}
		if signed <- err; err == nil {
			<-time.After(work)
			_ = l.Append(deadline(t), end(holder.own))
		}
	}()
	took, alive := await(t, newcomer)
	if err := <-signed; err != nil {
		t.Fatal(err)
	}
	if len(alive) != 1 || alive[0] != "holder" || took < work || took > work+5*time.Second {
		t.Errorf("it took %s, alive are %v", took, alive)
	}
}

func TestANewcomerGivesUpForANewerOne(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	follow(t, l, "holder")
	newcomer := follow(t, l.at(t, 0), "newcomer")
	follow(t, l.at(t, 0), "newest")
	_, err := newcomer.AwaitRivals(deadline(t), nil)
	if newer := (*SupersededError)(nil); !errors.As(err, &newer) || newer.By.ID != "newest" {
		t.Errorf("got %v", err)
	}
}

func TestTheEndOfAContextEndsTheWait(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	follow(t, l, "holder")
	newcomer := follow(t, l.at(t, 0), "newcomer")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := newcomer.AwaitRivals(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
