package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// ids are the runs in their order, with a "-" behind those without an end.
func ids(runs []Run) (list []string) {
	for _, run := range runs {
		switch {
		case run.Grant == nil:
			list = append(list, "-"+run.End.ID)
		case run.End == nil:
			list = append(list, run.Grant.ID+"-")
		default:
			list = append(list, run.Grant.ID)
		}
	}
	return list
}

func mustRuns(t *testing.T, l *Log, n int) []string {
	t.Helper()
	runs, err := l.Runs(deadline(t), n)
	if err != nil {
		t.Fatal(err)
	}
	return ids(runs)
}

func TestRunsAreReadBack(t *testing.T) {
	l := testLog(t)
	for i := range 60 {
		id := fmt.Sprint(i)
		granted := mustGrant(t, l, id)
		if i != 58 {
			mustAppend(t, l, end(granted))
		}
	}
	for n, want := range map[int]string{
		math.MinInt: "[]", 0: "[]", 1: "[59]", 3: "[57 58- 59]",
	} {
		if got := fmt.Sprint(mustRuns(t, l, n)); got != want {
			t.Errorf("the last %d are %s, want %s", n, got, want)
		}
	}
	for _, n := range []int{1000, math.MaxInt} {
		if got := mustRuns(t, l, n); len(got) != 60 {
			t.Errorf("the last %d are %d runs, want 60: %v", n, len(got), got)
		}
	}
}

func TestFollowShowsWhatBeginsAndEnds(t *testing.T) {
	l := testLog(t)
	granted := mustGrant(t, l, "a")
	ctx, cancel := context.WithCancel(deadline(t))
	shown := make(chan string, 10)
	done := make(chan error, 1)
	go func() {
		show := func(runs ...Run) { shown <- fmt.Sprint(ids(runs)) }
		done <- l.Follow(ctx, 5, func(runs []Run) { show(runs...) }, func(run Run) { show(run) })
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-shown:
			if got != want {
				t.Errorf("shown %s, want %s", got, want)
			}
		case err := <-done:
			t.Fatalf("ended: %v", err)
		}
	}
	expect("[a-]")
	mustAppend(t, l, end(granted))
	expect("[a]")
	mustGrant(t, l, "b")
	expect("[b-]")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOthersGarbageIsNoObstacle(t *testing.T) {
	l := testLog(t)
	first := mustGrant(t, l, "a")
	channel, err := l.conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		body := []byte([]string{"hello", `{"version":1,"type":"grant","id":"x","token":-3}`}[i%2])
		if err := channel.Publish("", l.queue, false, false, amqp.Publishing{Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	second := mustGrant(t, l, "b")
	if second.Token <= first.Token {
		t.Errorf("token %d after %d", second.Token, first.Token)
	}
	if got := fmt.Sprint(mustRuns(t, l, 2)); got != "[a- b-]" {
		t.Errorf("runs %s", got)
	}
}

func TestALongLogIsReadInOrder(t *testing.T) {
	t.Parallel()
	const runs = prefetch + 100 // of two records each
	l := testLog(t)
	fill(t, l, runs, func(*amqp.DeferredConfirmation) {})
	got := mustRuns(t, l, runs)
	for i := range runs {
		if i >= len(got) || got[i] != fmt.Sprint(i) {
			t.Fatalf("%d runs, number %d is not in its place", len(got), i)
		}
	}
	if len(got) != runs {
		t.Errorf("%d runs, want %d", len(got), runs)
	}
}

func TestNoLogIsNotFound(t *testing.T) {
	l := testLog(t)
	if _, err := l.Runs(deadline(t), 1); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("read: %v", err)
	}
	if err := l.Append(deadline(t), end(Record{ID: "a"})); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("write: %v", err)
	}
}

func TestAnotherQueueIsNoLog(t *testing.T) {
	for name, exclusive := range map[string]bool{"a work queue": false, "a lock": true} {
		t.Run(name, func(t *testing.T) {
			l := testLog(t)
			other := l.at(t, 0)
			channel, err := l.conn.Channel()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := channel.QueueDeclare(l.queue, false, false, exclusive, false, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := grant(deadline(t), other, "a"); !errors.Is(err, fault.ErrNotALock) {
				t.Errorf("grant: %v", err)
			}
			if _, err := other.Runs(deadline(t), 1); !errors.Is(err, fault.ErrNotALock) {
				t.Errorf("read: %v", err)
			}
		})
	}
}

func TestADeadlineEndsWhatHangs(t *testing.T) {
	l := testLog(t)
	mustGrant(t, l, "a")
	tail, err := l.Open(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	_, err = tail.Grant(ctx, Record{Kind: wire.Mutex}, uncut)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("grant: %v", err)
	}
	if _, err := l.Runs(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}

// A broker may be slow to send what the log has. That is no answer, and above all it does
// not mean that no run has succeeded.
func TestARecordThatIsSlowToComeIsNoEmptyLog(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	next := mustGrant(t, l, "a").Read.Offset + 1
	ctx, cancel := context.WithTimeout(deadline(t), 1500*time.Millisecond)
	defer cancel()
	run, err := l.Succeeded(ctx, next, time.Now().Add(-time.Hour))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("found %v: %v", run, err)
	}
}

func TestASignOfLifeIsNoRun(t *testing.T) {
	l := testLog(t)
	granted := mustGrant(t, l, "a")
	mustAppend(t, l, Record{Type: TypeAlive, Kind: wire.Mutex, ID: "a", At: time.Now()})
	mustAppend(t, l, end(granted))
	mustAppend(t, l, Record{Type: TypeAlive, Kind: wire.Mutex, ID: "a", At: time.Now()})
	if got := fmt.Sprint(mustRuns(t, l, 5)); got != "[a]" {
		t.Errorf("runs %s", got)
	}
	upTo := mustGrant(t, l, "b").Read.Offset
	mustAppend(t, l, Record{Type: TypeAlive, Kind: wire.Mutex, ID: "b", At: time.Now()})
	if got := fmt.Sprint(mustRuns(t, l, 5)); got != "[a b-]" {
		t.Errorf("runs %s", got)
	}
	if r, err := l.Succeeded(deadline(t), upTo, granted.At); err != nil || r == nil || r.ID != "a" {
		t.Errorf("the last success is %+v, %v", r, err)
	}
}

// TestALossTakesBackASuccess: the command has ended well, and then the lock was found to
// be gone.
func TestALossTakesBackASuccess(t *testing.T) {
	l := testLog(t)
	granted := mustGrant(t, l, "a")
	ended, lost := end(granted), end(granted)
	lost.Result = ResultLost
	mustAppend(t, l, ended)
	mustAppend(t, l, lost)
	upTo := mustGrant(t, l, "b").Read.Offset
	if r, err := l.Succeeded(deadline(t), upTo, time.Time{}); err != nil || r != nil {
		t.Errorf("the last success is %+v, %v", r, err)
	}
}

func TestARunMayWithdrawAndBeginAgain(t *testing.T) {
	l := testLog(t)
	withdrawn := end(mustGrant(t, l, "a"))
	withdrawn.Result, withdrawn.Status = ResultWithdrawn, nil
	mustAppend(t, l, withdrawn)
	mustGrant(t, l, "a")
	if got := fmt.Sprint(mustRuns(t, l, 5)); got != "[a-]" {
		t.Errorf("runs %s", got)
	}
}
