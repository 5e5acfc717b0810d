package locker

import (
	"context"
	"errors"
	"net"
	"strings"
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

// A node gives no token to a waiter that has just got the lock. It leaves the wait queue
// with its place, or it would get the hint for the next one. Then it tries another node.
func TestWaiterLeavesANodeWithoutTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		nodes   []string
		without bool // of a replica; else it does not see its cluster
		want    error
	}{
		{[]string{"amqp://one/"}, true, fault.ErrUnreachable},
		{[]string{"amqp://one/", "amqp://two/"}, true, nil},
		{[]string{"amqp://one/", "amqp://two/"}, false, nil},
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
			if lock := first.lock; lock.Node() != "amqp://two:5672" || lock.Token() == 0 {
				t.Errorf("held at %s with token %d", lock.Node(), lock.Token())
			}
			if err := first.lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
