package locker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// The notices that all slots of a large set are removed come at once. The first ends the
// lock. Whoever reads the rest must not keep the connection from its end.
func TestManySlotsAreRemovedAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		const count = 2000
		cfg = p.semaphore(cfg, count)
		cfg.Count, cfg.Log = count, nil
		var watch *request // on the channel of the watch
		p.answer(func(r *request) bool {
			if r.method == "consume" && r.queue == wire.SlotQueue("x", 1) {
				watch = r
			}
			return false
		})
		lock, _ := held5s(t, cfg)
		p.mu.Lock()
		for slot := 1; slot <= count; slot++ {
			delete(p.queues, wire.SlotQueue("x", slot))
			watch.send(watch.channel, basicCancel, fmt.Sprint(slot), byte(1))
		}
		p.mu.Unlock()
		pass(time.Second)
		begun := time.Now()
		err := lock.Release(t.Context())
		if took := time.Since(begun); !errors.Is(err, fault.ErrLost) || took > time.Second {
			t.Errorf("the release: %v after %s, want ErrLost", err, took)
		}
	})
}
