package amqplock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

// Who stands behind others has the first in the line try so rarely that many together do it no more often than one would.
func TestNextRetry(t *testing.T) {
	for _, test := range []struct {
		name        string
		place       *line
		first       bool
		ahead       int
		early, late time.Duration // after the first failure, and after many
	}{
		{"no line", nil, false, 0, firstRetry, lastRetry},
		{"alone", &line{}, false, 0, firstRetry, lastRetry},
		{"first", &line{}, true, 7, firstRetry, lastRetry},
		{"second", &line{}, false, 1, 2 * lastRetry, 2 * lastRetry},
		{"tenth", &line{}, false, 9, 10 * lastRetry, 10 * lastRetry},
		{"far behind", &line{}, false, 999, rareRetry, rareRetry},
	} {
		s := &session{cfg: Config{retry: firstRetry}, first: test.first, ahead: test.ahead}
		for d, want := range map[time.Duration]time.Duration{firstRetry: test.early, lastRetry: test.late} {
			if got := s.nextRetry(test.place, backoff.NewConstantBackOff(d)); got != want {
				t.Errorf("%s: %v where the first takes %v, want %v", test.name, got, d, want)
			}
		}
	}
}

// Who loses a place far behind others tries by itself from then on, and not when it would have had the first in the line try.
func TestLostPlaceIsNoReasonToWaitForLong(t *testing.T) {
	s := testSession(t, testConfig(t, Mutex))
	s.why, s.ahead = errBusy, 60
	hints := make(chan amqp.Delivery)
	close(hints)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tried := false
	err := s.standIn(ctx, &line{hints: hints}, time.Hour, backoff.NewConstantBackOff(time.Millisecond), func(context.Context) error {
		tried = true
		return errBusy
	})
	if !errors.Is(err, errLineLost) || !tried {
		t.Errorf("tried %t: %v", tried, err)
	}
}

// A waiter is told that it waits, then its place in the line, and each change of that; and nothing any more once it has the lock.
func TestOnWaiting(t *testing.T) {
	cfg := testConfig(t, Mutex)
	cfg.retry = time.Hour
	holder := mustAcquire(t, cfg)
	waiters := make(chan *Lock, 2)
	var told [2]chan Waiting
	for i := range told {
		told[i] = make(chan Waiting, 100)
		cfg := cfg
		cfg.OnWaiting = func(w Waiting) { told[i] <- w }
		go func() {
			lock, err := Acquire(t.Context(), cfg)
			if err != nil {
				t.Error(err)
			}
			waiters <- lock
		}()
		waitFor(t, "the waiter is in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == i+1 })
	}
	for range 2 {
		if err := holder.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		holder = <-waiters
	}
	if err := holder.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]Waiting{
		{{Ahead: -1}, {Ahead: 0}},
		{{Ahead: -1}, {Ahead: 1}, {Ahead: 0}},
	} {
		close(told[i])
		var got []Waiting
		for w := range told[i] {
			got = append(got, w)
		}
		if !slices.Equal(got, want) {
			t.Errorf("waiter %d was told %v, want %v", i+1, got, want)
		}
	}
}

// What is unusual about the wait is told as it changes.
func TestOnWaitingForAPausedSemaphore(t *testing.T) {
	cfg := testConfig(t, Semaphore)
	cfg.retry = 50 * time.Millisecond
	if err := Resize(t.Context(), cfg, 0); err != nil {
		t.Fatal(err)
	}
	told := make(chan Waiting, 100)
	cfg.OnWaiting = func(w Waiting) { told <- w }
	locks := make(chan *Lock, 2)
	for i := range 2 {
		go func() {
			lock, err := Acquire(t.Context(), cfg)
			if err != nil {
				t.Error(err)
			}
			locks <- lock
		}()
		waitFor(t, "the waiter is in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == i+1 })
	}
	for _, want := range []Waiting{{errPaused.Text, -1}, {errPaused.Text, 0}, {errPaused.Text, -1}, {errPaused.Text, 1}} {
		if got := <-told; got != want {
			t.Fatalf("told %v, want %v", got, want)
		}
	}
	if err := Resize(t.Context(), cfg, 1); err != nil {
		t.Fatal(err)
	}
	first := <-locks
	waitFor(t, "the other knows that it waits for us now", func() bool { return slices.Contains(drained(told), Waiting{Ahead: 0}) })
	for _, release := range []func() *Lock{func() *Lock { return first }, func() *Lock { return <-locks }} {
		if err := release().Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Who waits at the end of the line learns that those ahead have left it. Nothing else tells: only the first gets hints.
func TestOnWaitingMovesUp(t *testing.T) {
	cfg := testConfig(t, Mutex)
	cfg.retry = 100 * time.Millisecond
	mustAcquire(t, cfg)
	var ahead []context.CancelFunc
	var waiters sync.WaitGroup
	wait := func(ctx context.Context, cfg Config) {
		waiters.Go(func() { _, _ = Acquire(ctx, cfg) })
	}
	for i := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		ahead = append(ahead, cancel)
		wait(ctx, cfg)
		waitFor(t, "the waiter is in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == i+1 })
	}
	told := make(chan Waiting, 100)
	cfg.OnWaiting = func(w Waiting) { told <- w }
	ctx, cancel := context.WithCancel(t.Context())
	defer waiters.Wait()
	defer cancel()
	defer ahead[0]()
	wait(ctx, cfg)
	await := func(want int) {
		t.Helper()
		waitFor(t, fmt.Sprint(want, " ahead"), func() bool { return slices.Contains(drained(told), Waiting{Ahead: want}) })
	}
	await(3)
	ahead[2]()
	await(2)
	ahead[1]()
	await(1)
}

func drained(told <-chan Waiting) (all []Waiting) {
	for {
		select {
		case w := <-told:
			all = append(all, w)
		default:
			return all
		}
	}
}
