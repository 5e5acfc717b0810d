package locker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// OnWaiting reports that a waiter waits, then its place in the queue, and each change
// of that. It reports nothing any more once the waiter has the lock.
func TestOnWaiting(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.retry, cfg.look = time.Hour, time.Hour // or the second overtakes a first that is slow
	holder := mustAcquire(t, cfg)
	waiters := make(chan *Holder, 2)
	var reports [2]chan waitq.Waiting
	for i := range reports {
		reports[i] = make(chan waitq.Waiting, 100)
		cfg := cfg
		cfg.OnWaiting = func(w waitq.Waiting) { reports[i] <- w }
		go func() {
			lock, err := Acquire(t.Context(), cfg)
			if err != nil {
				t.Error(err)
			}
			waiters <- lock
		}()
		awaitWaiters(t, cfg.Name, i+1)
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
	for i, want := range [][]waitq.Waiting{
		{{Ahead: -1}, {Ahead: 0}},
		{{Ahead: -1}, {Ahead: 1}, {Ahead: 0}},
	} {
		close(reports[i])
		var got []waitq.Waiting
		for w := range reports[i] {
			got = append(got, w)
		}
		if !slices.Equal(got, want) {
			t.Errorf("waiter %d saw %v, want %v", i+1, got, want)
		}
	}
}

// An unusual reason of the wait is reported as it changes.
func TestOnWaitingForAPausedSemaphore(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.retry = 50 * time.Millisecond
	if err := Resize(t.Context(), cfg.Broker, cfg.Name, 0); err != nil {
		t.Fatal(err)
	}
	reports := make(chan waitq.Waiting, 100)
	cfg.OnWaiting = func(w waitq.Waiting) { reports <- w }
	locks := make(chan *Holder, 2)
	for i := range 2 {
		go func() {
			lock, err := Acquire(t.Context(), cfg)
			if err != nil {
				t.Error(err)
			}
			locks <- lock
		}()
		for _, ahead := range []int{-1, i} { // the next one comes when it has its place
			want := waitq.Waiting{Why: errPaused.Text, Ahead: ahead}
			if got := testbroker.Receive(t, fmt.Sprint(want), reports); got != want {
				t.Fatalf("reported %v, want %v", got, want)
			}
		}
	}
	if err := Resize(t.Context(), cfg.Broker, cfg.Name, 1); err != nil {
		t.Fatal(err)
	}
	first := <-locks
	waitFor(
		t,
		"the other knows that it waits for us now",
		func() bool { return slices.Contains(drained(reports), waitq.Waiting{Ahead: 0}) },
	)
	for _, release := range []func() *Holder{func() *Holder { return first },
		func() *Holder { return <-locks }} {
		if err := release().Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// The first in the queue keeps the slots that have come free. What it reports counts each
// of them once.
func TestOnWaitingForSeveralSlots(t *testing.T) {
	t.Parallel()
	for count, wanted := range map[int]string{3: "3 are", All: "all are"} {
		simulated(t, wire.Semaphore, func(t *testing.T, _ *broker.Broker, cfg Config) {
			if err := Resize(t.Context(), cfg.Broker, cfg.Name, 3); err != nil {
				t.Fatal(err)
			}
			var readers []*Holder
			for range 3 {
				readers = append(readers, mustAcquire(t, cfg))
			}
			var newest string
			cfg.Count = count
			cfg.OnWaiting = func(w waitq.Waiting) { newest = w.Why }
			got := takeLater(t, cfg)
			for free, reader := range readers {
				pass(10 * time.Second)
				want := fmt.Sprintf("%d of the 3 slots were free, %s wanted", free, wanted)
				if newest != want {
					t.Errorf("reported %q, want %q", newest, want)
				}
				if err := reader.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if err := (<-got).Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A waiter far behind sees that those ahead have left the wait queue. Only the poll
// shows it: only the first gets hints.
func TestOnWaitingMovesUp(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
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
		awaitWaiters(t, cfg.Name, i+1)
	}
	reports := make(chan waitq.Waiting, 100)
	cfg.OnWaiting = func(w waitq.Waiting) { reports <- w }
	ctx, cancel := context.WithCancel(t.Context())
	defer waiters.Wait()
	defer cancel()
	defer ahead[0]()
	wait(ctx, cfg)
	await := func(want int) {
		t.Helper()
		waitFor(
			t,
			fmt.Sprint(want, " ahead"),
			func() bool { return slices.Contains(drained(reports), waitq.Waiting{Ahead: want}) },
		)
	}
	await(3)
	ahead[2]()
	await(2)
	ahead[1]()
	await(1)
}

func drained(reports <-chan waitq.Waiting) (all []waitq.Waiting) {
	for {
		select {
		case w := <-reports:
			all = append(all, w)
		default:
			return all
		}
	}
}
