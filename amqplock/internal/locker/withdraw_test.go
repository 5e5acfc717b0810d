package locker

import (
	"context"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A run that has given up before it has read its grant leaves the lock to others. They
// would leave alone a lock that is lost. Its end comes behind its grant.
func TestAGrantThatWasNotReadIsWithdrawn(t *testing.T) {
	t.Parallel()
	const patience = 3 * time.Second
	for name, when := range map[string]func(func(), []*broker.Socket) (slow time.Duration){
		"interrupted": func(interrupt func(), _ []*broker.Socket) time.Duration {
			interrupt()
			return 0
		},
		"no leader": func(interrupt func(), _ []*broker.Socket) time.Duration {
			interrupt()
			return withdrawTime / 2
		},
		"no answer": func(_ func(), conns []*broker.Socket) time.Duration {
			for _, conn := range conns {
				conn.Hold(time.Now().Add(patience+withdrawTime/2), false)
			}
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var records atomic.Int64
			var happens func() (slow time.Duration)
			simulatedBy(t, broker.Options{
				Latency: func(*mathrand.Rand) time.Duration { return time.Millisecond },
				Cost: func(_ *mathrand.Rand, method, queue string) time.Duration {
					if method == "basic.publish" && queue == wire.LogQueue("x") && records.Add(1) == 1 {
						return happens()
					}
					return 0
				},
			}, wire.Mutex, func(t *testing.T, _ *broker.Broker, cfg Config) {
				ctx, interrupt := context.WithCancel(t.Context())
				defer interrupt()
				var mu sync.Mutex
				var conns []*broker.Socket
				dial := cfg.Dial
				cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := dial(ctx, network, addr)
					if err == nil {
						mu.Lock()
						defer mu.Unlock()
						conns = append(conns, conn.(*broker.Socket))
					}
					return conn, err
				}
				happens = func() time.Duration {
					mu.Lock()
					defer mu.Unlock()
					return when(interrupt, conns)
				}
				cfg.ConnectTimeout, cfg.Regain = patience, time.Hour
				if lock, err := TryAcquire(ctx, cfg); err == nil {
					t.Error("it has got the lock")
					_ = lock.Release(t.Context())
				}
				runs := runsOf(t, cfg)
				if len(runs) != 1 || runs[0].Grant == nil || runs[0].End == nil {
					t.Errorf("runs: %+v", runs)
				}
				lock, err := TryAcquire(t.Context(), newcomer(cfg))
				if err != nil {
					t.Error(err)
					return
				}
				_ = lock.Release(t.Context())
			})
		})
	}
}
