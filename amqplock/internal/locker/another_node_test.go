package locker

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// fallsSilent has a node answer nothing after the login.
func fallsSilent(w *wireConn) { w.blackHole.Store(w.sent(20, 10) > 0) } // channel.open

// endsReaders has a node end each connection that reads the history.
func endsReaders(w *wireConn) {
	if w.sent(60, 20) > 0 { // basic.consume
		_ = w.Close()
	}
}

// twoNodes names the broker twice, in the order known, other. The first is ill when that
// is set.
func twoNodes(t *testing.T, cfg *Config, illness func(*wireConn)) (ill *atomic.Bool) {
	t.Helper()
	known := address(t)
	cfg.URLs = []string{testURL(t), strings.Replace(testURL(t), "127.0.0.1", "localhost", 1)}
	cfg.ConnectTimeout = 6 * time.Second // twice a login on a busy machine
	ill = &atomic.Bool{}
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialWire(ctx, network, addr)
		if err == nil && addr == known && ill.Load() {
			w := conn.(*wireConn)
			w.onMethod = func() { illness(w) }
		}
		return conn, err
	}
	return ill
}

// TestRegainAtAnotherNode: the node that we know takes connections, and does not answer
// afterwards, or serves none that reads the history.
func TestRegainAtAnotherNode(t *testing.T) {
	t.Parallel()
	for name, illness := range map[string]func(*wireConn){
		"mute": fallsSilent, "ends readers": endsReaders,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := regainable(t, wire.Mutex)
			cfg.Regain = testbroker.Patience
			ill := twoNodes(t, &cfg, illness)
			lock := mustAcquire(t, cfg)
			ill.Store(true)
			cutOff(t, lock)
			if lock = mustRegain(t, lock); !strings.Contains(lock.Node(), "localhost") {
				t.Errorf("held at %s", lock.Node())
			}
		})
	}
}

// TestWaiterAtAnotherNode is the same for one that waits.
func TestWaiterAtAnotherNode(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	twoNodes(t, &cfg, fallsSilent).Store(true)
	select {
	case lock := <-takeLater(t, cfg):
		if !strings.Contains(lock.Node(), "localhost") {
			t.Errorf("held at %s", lock.Node())
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	case <-time.After(testbroker.Patience):
		t.Error("it asks the one node for ever")
	}
}

// A paused run leaves a node that has lost its replica of the history, or never had one.
func TestRegainAtANodeWithAReplica(t *testing.T) {
	t.Parallel()
	simulated(t, wire.Mutex, func(t *testing.T, b *broker.Broker, cfg Config) {
		cfg.URLs = []string{"amqp://one/", "amqp://two/"}
		cfg.Regain = time.Minute
		lock := mustAcquire(t, cfg)
		b.RefuseReaders("one", true)
		cutOff(t, lock)
		if lock = mustRegain(t, lock); lock.Node() != "amqp://two:5672" {
			t.Errorf("held at %s", lock.Node())
		}
	})
}

// With one node it keeps the lock, which others could take, until that has a replica.
func TestRegainKeepsTheLockAtItsOnlyNode(t *testing.T) {
	t.Parallel()
	simulated(t, wire.Mutex, func(t *testing.T, b *broker.Broker, cfg Config) {
		regained := cfg
		regained.Regain = time.Minute
		lock := mustAcquire(t, regained)
		b.RefuseReaders("localhost", true)
		defer time.AfterFunc(20*time.Second, func() { b.ServeReaders("localhost") }).Stop()
		cutOff(t, lock)
		ctx, cancel := context.WithCancel(t.Context())
		waiter := make(chan error, 1)
		time.AfterFunc(time.Second, func() {
			_, err := Acquire(ctx, cfg)
			waiter <- err
		})
		lock = mustRegain(t, lock)
		cancel()
		if err := <-waiter; !errors.Is(err, context.Canceled) {
			t.Errorf("a waiter got it: %v", err)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A follower of the history lives through the election of a leader.
func TestFollowOutlivesAnElection(t *testing.T) {
	t.Parallel()
	simulated(t, wire.Mutex, func(t *testing.T, b *broker.Broker, cfg Config) {
		cfg.History = true
		run := func() {
			if err := mustAcquire(t, cfg).Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
		run()
		resolved, err := cfg.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		shown, done := make(chan Run, 10), make(chan error, 1)
		go func() {
			done <- Follow(ctx, resolved.Broker, cfg.Ref, 1, func(run Run) { shown <- run })
		}()
		testbroker.Receive(t, "the first run", shown)
		pass(time.Second) // then it waits for the next
		b.RefuseReaders("localhost", true)
		pass(25 * time.Second) // it begins to read anew meanwhile
		b.ServeReaders("localhost")
		run()
		testbroker.Receive(t, "the next run", shown)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A node gives no token to a waiter that has just got the lock. It leaves the wait queue
// with its place, or it would get the hint for the next one. Then it tries another node.
func TestWaiterLeavesANodeWithoutTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		nodes   []string
		without bool // of a replica; else it does not see its cluster
		lasts   time.Duration
		want    error
		node    string
	}{
		{[]string{"amqp://one/"}, true, time.Hour, fault.ErrUnreachable, ""},
		{[]string{"amqp://one/"}, true, 20 * time.Second, nil, "amqp://one:5672"},
		{[]string{"amqp://one/", "amqp://two/"}, true, time.Hour, nil, "amqp://two:5672"},
		{[]string{"amqp://one/", "amqp://two/"}, false, time.Hour, nil, "amqp://two:5672"},
	} {
		simulated(t, wire.Mutex, func(t *testing.T, b *broker.Broker, cfg Config) {
			cfg.URLs = []string{"amqp://two/"}
			holder := mustAcquire(t, cfg)
			fenced := cfg
			fenced.Fence, fenced.URLs = true, c.nodes
			type outcome struct {
				lock *Holder
				err  error
			}
			var waiters [2]chan outcome
			for i, cfg := range []Config{fenced, cfg} {
				waiters[i] = make(chan outcome, 1)
				go func() {
					lock, err := Acquire(t.Context(), cfg)
					waiters[i] <- outcome{lock, err}
				}()
				pass(time.Second)
			}
			b.RefuseReaders("one", c.without)
			defer time.AfterFunc(c.lasts, func() { b.ServeReaders("one") }).Stop()
			if err := holder.Release(t.Context()); err != nil {
				t.Error(err)
			}
			next := testbroker.Receive(t, "the lock for the next waiter", waiters[1])
			if next.err != nil {
				t.Fatal(next.err)
			}
			if err := next.lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
			first := testbroker.Receive(t, "the end of the fenced waiter", waiters[0])
			if !errors.Is(first.err, c.want) {
				t.Fatalf("%q: %v, want %v", c.nodes, first.err, c.want)
			}
			if c.want != nil {
				return
			}
			if lock := first.lock; lock.Node() != c.node || lock.Token() == 0 {
				t.Errorf("held at %s with token %d", lock.Node(), lock.Token())
			}
			if err := first.lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A waiter whose node gives no token ends, however seldom it has its turn at the lock.
func TestWaitersEndAtANodeWithoutTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ fenced, plain int }{{8, 0}, {1, 2}} {
		simulated(t, wire.Mutex, func(t *testing.T, b *broker.Broker, plain Config) {
			plain.URLs = []string{"amqp://one/"}
			b.RefuseReaders("one", true)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			var others sync.WaitGroup
			for range c.plain {
				others.Go(func() {
					for ctx.Err() == nil {
						lock, err := Acquire(ctx, plain)
						if err != nil {
							break
						}
						_ = wire.Pause(ctx, 40*time.Second)
						if err := lock.Release(t.Context()); err != nil {
							t.Error(err)
						}
					}
				})
				pass(time.Second)
			}
			fenced := plain
			fenced.Fence = true
			ended := make(chan error, c.fenced)
			for range c.fenced {
				go func() {
					_, err := Acquire(ctx, fenced)
					ended <- err
				}()
			}
			for range c.fenced {
				if err := <-ended; !errors.Is(err, fault.ErrUnreachable) {
					t.Errorf("%d beside %d others: %v, want ErrUnreachable", c.fenced, c.plain, err)
				}
			}
			cancel()
			others.Wait()
		})
	}
}

// It waits for a node that does not see its cluster, and holds the lock only once for
// that.
func TestWaiterLeavesTheLockAloneWithoutTokens(t *testing.T) {
	t.Parallel()
	simulated(t, wire.Mutex, func(t *testing.T, b *broker.Broker, plain Config) {
		plain.URLs = []string{"amqp://one/"}
		b.RefuseReaders("one", false)
		fenced := plain
		fenced.Fence = true
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ended := make(chan error, 1)
		go func() {
			_, err := Acquire(ctx, fenced)
			ended <- err
		}()
		taken := 0
		for ctx.Err() == nil {
			pass(time.Second)
			lock, err := TryAcquire(t.Context(), plain)
			if err != nil {
				taken++
				continue
			}
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if taken > 10 {
			t.Errorf("it had the lock for %d of 120 seconds", taken)
		}
		if err := <-ended; !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("%v, want ErrNotAcquired", err)
		}
	})
}
