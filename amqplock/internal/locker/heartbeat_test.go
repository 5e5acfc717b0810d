package locker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// What the broker insists on counts: with its heartbeat the lease may be too short to
// stop the command in.
func TestHeartbeatOfTheBroker(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		broker uint16
		want   time.Duration // 0: refused
	}{{0, 10 * time.Second}, {60, 10 * time.Second}, {6, 6 * time.Second}, {5, 0}, {1, 0}} {
		for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				if kind == wire.Semaphore {
					cfg = p.semaphore(cfg, 1)
				}
				p.heartbeat = test.broker
				lock, err := Acquire(t.Context(), cfg)
				if test.want == 0 {
					said := fmt.Sprintf(
						"the heartbeat of %ds that the broker amqp://localhost:5672 insists on",
						test.broker,
					)
					if !errors.Is(err, fault.ErrTiming) || !strings.Contains(err.Error(), said) {
						t.Errorf("broker's heartbeat %d: %v, want ErrTiming that names it", test.broker, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := lock.Until() - cfg.clock.Now(); got != 2*test.want-test.want/10 {
					t.Errorf("broker's heartbeat %d: a lease of %s", test.broker, got)
				}
				if err := lock.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// The publish connection of a waiter has the heartbeat of the lock, so that its place
// in the queue ends with its machine. That of a holder has a slow one.
func TestPublishHeartbeat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		waits   bool
		elastic bool
		want    time.Duration
	}{
		{"holder", false, false, time.Minute},
		{"holder that has waited", true, false, wire.DefaultHeartbeat},
		{"elastic", false, true, wire.DefaultHeartbeat},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				if test.elastic {
					cfg = p.semaphore(cfg, 1)
					cfg.Greedy, cfg.Elastic = true, true
				}
				if test.waits {
					p.heldFor(cfg.Name, time.Minute)
				}
				lock := mustAcquire(t, cfg)
				if test.elastic { // a semaphore has its publish connection from the beginning
					lock.link.Publish().Abort()
				}
				pass(3 * time.Second)
				if got := lock.link.Publish().Config.Heartbeat; got != test.want ||
					lock.link.Publish().IsClosed() {
					t.Errorf("%v, closed %t; want %v, open", got, lock.link.Publish().IsClosed(), test.want)
				}
				if err := lock.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
