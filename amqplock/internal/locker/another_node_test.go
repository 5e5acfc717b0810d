package locker

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
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
