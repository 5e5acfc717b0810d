package history

import (
	"context"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// grantFor takes a token, for a run that may take its lock again within seconds, and
// returns for whom the lock is reserved.
func grantFor(t *testing.T, l *Log, r Record) (granted Record, by []Reserved) {
	t.Helper()
	tail, err := l.Open(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	r.Kind = l.kind
	if granted, err = tail.Grant(deadline(t), r, uncut); err == nil {
		by, err = tail.ReservedFrom(deadline(t), granted)
	}
	if err != nil {
		t.Fatal(err)
	}
	return granted, by
}

// reserved is what a newcomer finds before it claims anything.
func reserved(t *testing.T, l *Log) []Reserved {
	t.Helper()
	tail, err := l.Open(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	return tail.Reserved(deadline(t))
}

// awaitReserved waits until a newcomer finds so many. Nobody waits for the broker to have
// a note, and the newest records may be slow to come.
func awaitReserved(t *testing.T, l *Log, n int) (by []Reserved) {
	t.Helper()
	testbroker.WaitFor(t, fmt.Sprint(n, " are reserved"), func() bool {
		by = reserved(t, l)
		return len(by) == n
	})
	return by
}

func TestALostSlotIsReservedUntilItsRunEnds(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	l.kind = wire.Semaphore
	lost, _ := grantFor(t, l, Record{ID: "lost", Slots: []int{1, 2}, Regain: 1000})
	for round := range 2 {
		if by := reserved(t, l); len(by) > 0 {
			t.Errorf("round %d: reserved before anybody has seen that it is free: %+v", round, by)
		}
		if _, by := grantFor(t, l, Record{ID: "elsewhere", Slots: []int{3}}); len(by) > 0 {
			t.Errorf("round %d: another slot is reserved: %+v", round, by)
		}
		_, by := grantFor(t, l, Record{ID: "first", Slots: []int{2}})
		if len(by) != 1 || by[0].ID != "lost" || by[0].Left > 1000*time.Second {
			t.Errorf("round %d: reserved for %+v", round, by)
		}
		again := awaitReserved(t, l, 1)
		if again[0].Left > by[0].Left || len(again[0].Slots) != 2 {
			t.Errorf("round %d: reserved for %+v, then for %+v", round, by, again)
		}
		grantFor(t, l, Record{ID: "lost", Slots: []int{1, 2}, Regain: 1000, Regained: true})
	}
	grantFor(t, l, Record{ID: "second", Slots: []int{2}})
	over := end(lost)
	over.Kind = l.kind
	mustAppend(t, l, over)
	awaitReserved(t, l, 0)
}

// A mutex and a semaphore of one name share a log.
func TestTheOtherLockOfTheNameIsNotReserved(t *testing.T) {
	t.Parallel()
	mutex := testLog(t)
	semaphore := mutex.on(mutex.conn)
	semaphore.kind = wire.Semaphore
	for log, slots := range map[*Log][]int{mutex: nil, semaphore: {1}} {
		grantFor(t, log, Record{ID: string(log.kind), Slots: slots, Regain: 1000})
		grantFor(t, log, Record{ID: "first", Slots: slots})
	}
	for _, log := range []*Log{mutex, semaphore} {
		if by := awaitReserved(t, log, 1); by[0].ID != string(log.kind) {
			t.Errorf("the %s is reserved for %+v", log.kind, by)
		}
	}
}

// In a busy log there are always newer records.
func TestABusyLogDoesNotHoldUpAWaiter(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	lost := mustGrant(t, l, "lost")
	ctx, stop := context.WithCancel(deadline(t))
	busy := l.at(t, 0)
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil { // each takes a few milliseconds
			err = busy.Append(context.WithoutCancel(ctx), Record{Type: TypeAlive, Kind: l.kind, ID: "lost"})
		}
		done <- err
	}()
	tail, err := l.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	if tail.Reserved(ctx); ctx.Err() != nil {
		t.Error("it waits for a log that is never quiet")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	mustAppend(t, l, end(lost))
}

// The newest record of all decides, and not the first of the last chunk.
func TestTheEndOfTheLastChunkCounts(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	lost, _ := grantFor(t, l, Record{ID: "lost", Regain: 1000})
	channel, err := l.conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Record{ // at once, so that they are one chunk
		{Type: TypeGrant, ID: "first", Token: lost.Token + 1, Read: lost.Read},
		{Type: TypeGone, ID: "lost", At: time.Now()},
		{Type: TypeEnd, ID: "first", Result: ResultWithdrawn},
	} {
		r.Kind = l.kind
		body, err := r.encode()
		if err == nil {
			err = channel.Publish("", l.queue, false, false, amqp.Publishing{Body: body})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := channel.Confirm(false); err != nil { // its answer comes behind them
		t.Fatal(err)
	}
	awaitReserved(t, l, 1)
}

func TestASlotIsReservedForATimeOnly(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	grantFor(t, l, Record{ID: "lost", Regain: 0.2})
	if _, by := grantFor(t, l, Record{ID: "first"}); len(by) != 1 {
		t.Errorf("reserved for %+v", by)
	}
	<-time.After(1200 * time.Millisecond) // the broker's time is known to the second
	if _, by := grantFor(t, l, Record{ID: "second"}); len(by) > 0 {
		t.Errorf("reserved for %+v", by)
	}
	if _, by := grantFor(t, l, Record{ID: "plain"}); len(by) > 0 {
		t.Errorf("reserved for %+v", by)
	}
}

func TestOthersAreNotThoseThatHaveWithdrawn(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	own := mustGrant(t, l, "own")
	withdrawn := end(mustGrant(t, l, "other"))
	withdrawn.Result = ResultWithdrawn
	mustAppend(t, l, withdrawn)
	last := mustGrant(t, l, "own")
	if others, err := l.Others(deadline(t), own, last.Read.Offset); err != nil || len(others) > 0 {
		t.Errorf("others: %v, %v", others, err)
	}
}

func TestARunThatHasTakenItsLockAgainIsOneRun(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	first, _ := grantFor(t, l, Record{ID: "a", Regain: 5})
	grantFor(t, l, Record{ID: "b"})
	grantFor(t, l, Record{ID: "a", Regain: 5, Regained: true})
	if got := fmt.Sprint(mustRuns(t, l, 5)); got != "[a- b-]" {
		t.Errorf("runs %s", got)
	}
	runs, err := l.Runs(deadline(t), 5)
	if err != nil || runs[0].Grant.Token != first.Token {
		t.Errorf("%+v, %v", runs, err)
	}
}
