package locker

import (
	"errors"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// A drain takes the slot after the newcomer's slot check. It removes the slot, and lets
// go of it before the newcomer's claim.
func TestSlotRemovedBetweenCheckAndGrant(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 1)
		var claim *request // that came before the slot check
		checked := false
		p.answer(func(r *request) bool {
			switch {
			case r.method == "claim" && !checked:
				claim = r
				return true
			case r.method == "claim":
				delete(r.queues, wire.SlotQueue(cfg.Name, 1))
			case r.method == "get" && !checked:
				checked = true
				r.serve()
				if claim != nil {
					delete(r.queues, wire.SlotQueue(cfg.Name, 1))
					claim.serve()
				}
				return true
			}
			return false
		})
		lock, err := TryAcquire(t.Context(), cfg)
		if !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("%v, want ErrNotAcquired", err)
		}
		if lock != nil {
			_ = lock.Release(t.Context())
		}
		if held := wire.HeldQueue(cfg.Name, 1); p.queues[held] != nil {
			t.Errorf("%s is still held", held)
		}
	})
}

// The proof of a set asks for the ownership after a majority has answered. The cluster
// may have been split until then, and a slot may be another's on the other side.
func TestSlotTakenWhileTheMajorityIsAwaited(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 2)
		cfg.Count = 2
		gets := 0
		p.answer(func(r *request) bool {
			if r.method != "get" {
				return false
			}
			gets++
			if gets != 5 { // each claim has two
				return false
			}
			time.AfterFunc(time.Second, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				r.queues[wire.HeldQueue(cfg.Name, 1)] = &peerConn{}
				r.serve()
			})
			return true
		})
		lock, err := TryAcquire(t.Context(), cfg)
		if !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("%v, want ErrNotAcquired", err)
		}
		if lock != nil {
			_ = lock.Release(t.Context())
		}
	})
}
