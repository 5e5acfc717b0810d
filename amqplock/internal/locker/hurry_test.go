package locker

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// What a lock does after its grant may hang: its grant is not in the history yet, and
// nobody has counted the slots. A release that comes then keeps to its time.
func TestReleaseRightAfterTheGrantEndsInTime(t *testing.T) {
	t.Parallel()
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		t.Run(string(kind), func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				cfg.History = true
				if kind == wire.Semaphore {
					cfg = p.semaphore(cfg, 300) // they are not counted
					cfg.Slots = 2
				}
				var silent atomic.Bool
				cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					if silent.Load() {
						<-ctx.Done()
						return nil, context.Cause(ctx)
					}
					return p.dial(ctx, network, address)
				}
				p.answer(func(r *request) bool {
					if silent.Load() {
						r.silent = true
					}
					return silent.Load()
				})
				lock := mustAcquire(t, cfg)
				silent.Store(true)
				const patience = 100 * time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				begun := time.Now()
				if err := lock.Release(ctx); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took > patience+2*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}
