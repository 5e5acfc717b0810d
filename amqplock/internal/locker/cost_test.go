package locker

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// cost is what so many holders of a mutex each cost the broker, in a minute.
type cost struct{ connections, queues, requests int }

func costOf(t *testing.T, holders int) (each cost) {
	t.Helper()
	var requests atomic.Int64
	options := broker.Options{Cost: func(*rand.Rand, string, string) time.Duration {
		requests.Add(1)
		return 0
	}}
	simulatedBy(t, options, wire.Mutex, func(t *testing.T, b *broker.Broker, cfg Config) {
		locks := make([]*Holder, holders)
		var all errgroup.Group
		for i := range locks {
			cfg := cfg
			cfg.Name = fmt.Sprint("x", i)
			cfg.About = func() presence.About { return presence.About{ID: cfg.Name} }
			all.Go(func() (err error) {
				locks[i], err = Acquire(t.Context(), cfg)
				return err
			})
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		queues, connections := b.Contents()
		before := requests.Load()
		pass(time.Minute)
		asked := int(requests.Load() - before)
		each = cost{connections / holders, len(queues) / holders, asked / holders}
		for _, lock := range locks {
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	return each
}

// Holders do not know of one another, so that a broker carries as many as it has room
// for.
func TestCostOfAHolder(t *testing.T) {
	t.Parallel()
	few, many := costOf(t, 10), costOf(t, 200)
	if few != many || few.requests == 0 {
		t.Errorf("each of 10 holders costs %+v, each of 200 %+v", few, many)
	}
}
