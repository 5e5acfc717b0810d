package locker

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// ranked is cfg for a waiter with that priority. Others see it.
func ranked(cfg Config, priority int) Config {
	id := rand.Text()
	cfg.Priority = priority
	cfg.About = func() presence.About { return presence.About{ID: id} }
	return cfg
}

// mortal is cfg for a process that kill ends, as far as the broker sees.
func mortal(cfg Config) (_ Config, kill func()) {
	var mu sync.Mutex
	var conns []net.Conn
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, conn)
		return conn, err
	}
	return cfg, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

// Fifty waiters of five priorities come in a mixed order, and are served in that of their
// priorities. Some die while they wait, the first of all among them. Some die while they
// hold the lock.
func TestWaitersAreServedByPriority(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.Log, cfg.retry, cfg.look = nil, time.Hour, time.Hour // hints alone
	holder := mustAcquire(t, cfg)
	type waiter struct {
		number, priority int
		kill             func()
		lock             *Holder
	}
	var line []*waiter
	served := make(chan *waiter)
	var waiters sync.WaitGroup
	for i := range 50 {
		w := &waiter{number: i, priority: []int{0, -7, 3, 100, -100}[(i*i+i/5)%5]}
		mine, cut := mortal(ranked(cfg, w.priority))
		ctx, cancel := context.WithCancel(t.Context())
		w.kill = func() { cancel(); cut() }
		waiters.Go(func() {
			lock, err := Acquire(ctx, mine)
			switch {
			case err == nil:
				w.lock = lock
				served <- w
			case ctx.Err() == nil:
				t.Errorf("waiter %d: %v", w.number, err)
			}
		})
		line = append(line, w)
		awaitWaiters(t, cfg.Name, i+1)
	}
	slices.SortStableFunc(line, func(a, b *waiter) int { return b.priority - a.priority })
	for _, i := range []int{49, 30, 17, 4, 1, 0} {
		line[i].kill()
		line = slices.Delete(line, i, i+1)
	}
	awaitWaiters(t, cfg.Name, len(line))
	if err := holder.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range line {
		got := testbroker.Receive(t, fmt.Sprint("service of number ", i), served)
		if got != want {
			t.Errorf("as number %d came waiter %d with priority %d, want %d with %d", i,
				got.number, got.priority, want.number, want.priority)
		}
		if i%9 == 4 { // a holder dies
			waitFor(t, "the last will is armed", func() bool { return isArmed(got.lock) })
			got.kill()
		}
		if err := got.lock.Release(t.Context()); err != nil && i%9 != 4 {
			t.Error(err)
		}
	}
	waiters.Wait()
}

// A waiter that steps back for others comes before those of its own priority afterwards.
func TestWaiterThatStepsBackKeepsItsPlace(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.retry, cfg.look = 50*time.Millisecond, time.Hour // it asks again, 20 times as late
	holder := mustAcquire(t, cfg)
	granted := make(chan string, 5)
	for i, w := range []struct {
		name     string
		priority int
	}{{"low", -1}, {"first", 0}, {"second", 0}, {"high", 1}, {"higher", 2}} {
		mine := ranked(cfg, w.priority)
		reports := make(chan waitq.Waiting, 100)
		mine.OnWaiting = func(w waitq.Waiting) { reports <- w }
		passThrough(t, mine, granted, w.name)
		awaitWaiters(t, cfg.Name, i+1)
		if w.name != "low" && w.name != "second" {
			// The one before has stepped back by then. One of priority 0 has to ask first.
			waitFor(t, w.name+" is ahead of the others", func() bool {
				return slices.Contains(drained(reports), waitq.Waiting{Ahead: 0})
			})
		}
	}
	if err := holder.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	servedInOrder(t, granted, "higher", "high", "first", "second", "low")
}

// A frozen first waiter does not step back. The waiters behind it take the lock in the
// order of their priorities, although the lowest of them would be the first to look.
func TestWaiterBehindAFrozenOneDoesNotOvertakeAHigherOne(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.look = 2 * time.Second // which an answer may take
	holder := mustAcquire(t, cfg)
	joinQueue(t, cfg.Name) // and acknowledges nothing
	granted := make(chan int, 3)
	for i, priority := range []int{0, 5, 9} {
		mine := ranked(cfg, priority)
		mine.retry = time.Hour
		ahead := make(chan waitq.Waiting, 100)
		mine.OnWaiting = func(w waitq.Waiting) { ahead <- w }
		passThrough(t, mine, granted, priority)
		awaitWaiters(t, cfg.Name, i+2)
		if priority > 0 {
			waitFor(t, "it knows its rank", func() bool {
				return slices.Contains(drained(ahead), waitq.Waiting{Ahead: 0})
			})
		}
	}
	if err := holder.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	servedInOrder(t, granted, 9, 5, 0)
}

// A waiter counts those of a higher priority, and those of its own that came before.
func TestWaitersCountThoseOfAHigherPriority(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.retry = 20 * time.Millisecond // the intervals grow with it
	mustAcquire(t, cfg)
	priorities := []int{0, 0, 7, -7, 7, 0}
	want := []int{2, 3, 0, 5, 1, 4}
	var mu sync.Mutex
	got := make([]int, len(want))
	ctx, cancel := context.WithCancel(t.Context())
	var waiters sync.WaitGroup
	defer waiters.Wait()
	defer cancel()
	for i, priority := range priorities {
		mine := ranked(cfg, priority)
		mine.OnWaiting = func(w waitq.Waiting) {
			mu.Lock()
			defer mu.Unlock()
			got[i] = w.Ahead
		}
		waiters.Go(func() { _, _ = Acquire(ctx, mine) })
		awaitWaiters(t, cfg.Name, i+1)
	}
	waitFor(t, "all know their places", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Equal(got, want)
	})
}
