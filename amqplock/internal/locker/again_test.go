package locker

import (
	"context"
	"errors"
	"slices"
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
		if held := wire.HeldQueue(cfg.Name, 1); p.owned(held) {
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

// A slot that an elastic set wants may be just being removed. RabbitMQ 3.10 answers 541
// then, which ends the connection that has asked.
func TestGrowthDoesNotAskOnTheLockConnection(t *testing.T) {
	t.Parallel()
	for _, everywhere := range []bool{true, false} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			lock, free := elastic(t, p, cfg)
			lockConn := p.connOf(lock.link.Lock)
			asked := 0
			p.answer(func(r *request) bool {
				if r.method != "get" || r.queue != wire.SlotQueue("x", 2) {
					return false
				}
				asked++
				dying := everywhere || r.peerConn == lockConn
				if dying {
					replies["541"](r)
				}
				return dying
			})
			free()
			pass(time.Minute)
			want := map[bool][]int{true: {1}, false: {1, 2}}[everywhere]
			if got := lock.Slots(); !slices.Equal(got, want) || lock.Context().Err() != nil {
				t.Errorf("holds %v, want %v: %v", got, want, context.Cause(lock.Context()))
			}
			if asked == 0 || p.owned(wire.HeldQueue("x", 2)) == everywhere {
				t.Errorf("asked %d times; slot 2 is held: %t", asked, !everywhere)
			}
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
