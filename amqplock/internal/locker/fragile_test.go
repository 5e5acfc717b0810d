package locker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// failsToRefuse answers as a RabbitMQ that fails over the text of a refusal.
func failsToRefuse(r *request) bool {
	owner, there := r.queues[r.queue]
	refuses := there && owner != nil && owner != r.peerConn
	if refuses && (r.method == "claim" || r.method == "look") {
		r.closeConnection(541, "INTERNAL_ERROR")
		return true
	}
	return false
}

// A name for which the broker fails to refuse a claim is a name like any other.
func TestNamesOverWhichTheBrokerFails(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		cfg.Name = "größe" + strings.Repeat("x", 40)
		if cfg.Kind == wire.Semaphore {
			cfg = p.semaphore(cfg, 1)
		}
		held := cfg.Held(1)
		p.queues[held] = &peerConn{}
		p.answer(failsToRefuse)
		if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("%v, want ErrNotAcquired", err)
		}
		if seen, err := Look(t.Context(), cfg.Broker, cfg.Ref); err != nil || seen.Held != 1 {
			t.Errorf("%+v, %v; want it held", seen, err)
		}
		got := takeLater(t, cfg)
		pass(time.Minute)
		if n := p.dialed(); n > 12 {
			t.Errorf("%d connections", n)
		}
		p.mu.Lock()
		delete(p.queues, held)
		p.mu.Unlock()
		if lock := <-got; lock != nil {
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// Others may be faster between the look and the claim. Then the failure means that they
// hold it.
func TestClaimThatTheBrokerFailsToRefuse(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		cfg.Name = "größe" + strings.Repeat("x", 40)
		if cfg.Kind == wire.Semaphore {
			cfg = p.semaphore(cfg, 1)
		}
		p.answer(func(r *request) bool {
			if r.method == "claim" {
				r.closeConnection(541, "INTERNAL_ERROR")
			}
			return r.method == "claim"
		})
		if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("%v, want ErrNotAcquired", err)
		}
	})
}

// Administrators take turns over such a name too.
func TestAdministratorsOfANameOverWhichTheBrokerFails(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg.Name = "größe" + strings.Repeat("x", 40)
		cfg = p.semaphore(cfg, 1)
		p.answer(failsToRefuse)
		p.heldFor(cfg.Name, time.Second)
		if err := Resize(t.Context(), cfg.Broker, cfg.Name, 2); err != nil {
			t.Errorf("beside another for a second: %v", err)
		}
		p.heldFor(cfg.Name, time.Hour)
		err := Resize(t.Context(), cfg.Broker, cfg.Name, 3)
		if !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("beside another for long: %v, want ErrNotAcquired", err)
		}
	})
}

// An elastic set goes on without a slot that is removed, though the broker ends each
// connection that asks about what does not exist.
func TestElasticSetOfANameWithoutA404(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg.Name = "größe" + strings.Repeat("x", 230)
		cfg = p.semaphore(cfg, 2)
		cfg.Greedy, cfg.Elastic = true, true
		lock, _ := held5s(t, cfg)
		publish := p.connOf(lock.link.Publish())
		p.mu.Lock()
		if publish.consumers[wire.SlotQueue(cfg.Name, 1)] > 0 {
			t.Error("on a notice of its removal, the lock connection would ask about the slot")
		}
		p.mu.Unlock()
		p.answer(func(r *request) bool {
			_, there := r.queues[r.queue]
			asks := r.method == "look" || r.method == "get" || r.method == "consume"
			if asks && !there {
				r.closeConnection(541, "INTERNAL_ERROR")
			}
			return asks && !there
		})
		p.mu.Lock()
		delete(p.queues, wire.SlotQueue(cfg.Name, 2))
		p.mu.Unlock()
		pass(time.Minute)
		if got := lock.Slots(); !slices.Equal(got, []int{1}) || lock.Context().Err() != nil {
			t.Errorf("holds %v, want slot 1: %v", got, context.Cause(lock.Context()))
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
