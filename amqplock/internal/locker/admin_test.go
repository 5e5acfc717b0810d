package locker

import (
	"context"
	"errors"
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func slotsOf(t *testing.T, cfg Config) int {
	t.Helper()
	status, err := Inspect(t.Context(), cfg.Broker, cfg.Ref)
	if err != nil {
		t.Fatal(err)
	}
	return status.Slots
}

func TestAdjust(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, -1); err != nil {
		t.Fatalf("removing from nothing: %v", err)
	}
	if _, err := Inspect(t.Context(), cfg.Broker, cfg.Ref); !errors.Is(err, fault.ErrNotFound) {
		t.Fatalf("removing has created a semaphore: %v", err)
	}
	steps := []struct{ delta, want int }{{0, 0}, {3, 3}, {2, 5}, {-1, 4}, {-10, 0}, {1, 1}}
	for _, step := range steps {
		if err := Adjust(t.Context(), cfg.Broker, cfg.Name, step.delta); err != nil {
			t.Fatal(err)
		}
		if got := slotsOf(t, cfg); got != step.want {
			t.Errorf("after %+d: %d slots, want %d", step.delta, got, step.want)
		}
	}
}

func TestPausedSemaphoreIsBusyAndResumes(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
		t.Errorf("paused: %v, want ErrNotAcquired", err)
	}
	got := make(chan error, 1)
	go func() {
		lock, err := Acquire(t.Context(), cfg)
		if err == nil {
			err = lock.Release(t.Context())
		}
		got <- err
	}()
	awaitWaiters(t, cfg.Name, 1)
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, 1); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestDestroyReachesBehindAHole(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, 5); err != nil {
		t.Fatal(err)
	}
	channel := testChannel(t)
	if _, err := channel.QueueDelete(wire.SlotQueue(cfg.Name, 2), false, false, false); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing
		if err := Destroy(t.Context(), cfg.Broker, cfg.Name); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 6 {
		queue := wire.SlotQueue(cfg.Name, i)
		_, err := testChannel(t).QueueDeclarePassive(queue, false, false, false, false, nil)
		if !wire.Absent(err) {
			t.Errorf("slot %d: %v, want none", i, err)
		}
	}
}

// The original's slots are transient classic queues. We count and remove them, and the
// last one leaves a paused semaphore.
func TestAdjustForeignSlots(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	for i := range 2 {
		if _, err := testChannel(t).QueueDeclare(wire.SlotQueue(cfg.Name, i+1), false, false, false,
			false, amqp.Table{"x-max-length": 0}); err != nil {
			t.Skipf("this broker refuses transient queues: %v", err)
		}
	}
	mustAcquire(t, cfg)
	for _, step := range []struct{ delta, want int }{{0, 2}, {1, 3}, {-2, 1}, {-1, 0}} {
		if err := Adjust(t.Context(), cfg.Broker, cfg.Name, step.delta); err != nil {
			t.Fatal(err)
		}
		if got := slotsOf(t, cfg); got != step.want {
			t.Errorf("after %+d: %d slots, want %d", step.delta, got, step.want)
		}
	}
}

// Administrators wait for one another, so that all slots are there and none is missing in
// the middle. One that has waited for five seconds in vain has changed nothing.
func TestAdministratorsExcludeEachOther(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	var admins errgroup.Group
	for range 5 {
		admins.Go(func() error {
			for {
				err := Adjust(t.Context(), cfg.Broker, cfg.Name, 2)
				if !errors.Is(err, fault.ErrNotAcquired) {
					return err
				}
			}
		})
	}
	if err := admins.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := slotsOf(t, cfg); got != 10 {
		t.Errorf("%d slots, want 10", got)
	}
}

func TestWaiterOfADestroyedSemaphore(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots = 1
	mustAcquire(t, cfg)
	waiter := cfg
	waiter.Slots = 0
	got := make(chan error, 1)
	go func() {
		_, err := Acquire(t.Context(), waiter)
		got <- err
	}()
	awaitWaiters(t, cfg.Name, 1)
	if err := Destroy(context.Background(), cfg.Broker, cfg.Name); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// The broker fails itself, as when the claim of the administration mutex crosses the
// death of another administrator.
func TestAdministratorTriesOnceMore(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]int{0: 1, 1: 2, 2: 2} {
		t.Run(fmt.Sprint(failures), func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				cfg = p.semaphore(cfg, 1)
				claims := 0
				p.answer(func(r *request) bool {
					if r.method != "claim" || r.queue != cfg.Name {
						return false
					}
					claims++
					if claims <= failures {
						r.closeConnection(amqp.InternalError, "INTERNAL_ERROR")
					}
					return claims <= failures
				})
				err := Resize(t.Context(), cfg.Broker, cfg.Name, 2)
				if (err == nil) != (failures < want) || claims != want {
					t.Errorf("%d claims: %v", claims, err)
				}
				p.mu.Lock()
				_, there := p.queues[wire.SlotQueue(cfg.Name, 2)]
				p.mu.Unlock()
				if there != (err == nil) {
					t.Errorf("slot 2 is there: %v, after %v", there, err)
				}
			})
		})
	}
}

// A change that fails later is not done again: a part of it may have been done.
func TestAdministratorWhoHasBegunTriesNoMore(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 1)
		claims := 0
		p.answer(func(r *request) bool {
			if r.method == "claim" && r.queue == cfg.Name {
				claims++
			}
			if r.queue == wire.SlotQueue(cfg.Name, 2) && r.method == "declare" {
				r.closeConnection(amqp.InternalError, "INTERNAL_ERROR")
				return true
			}
			return false
		})
		if err := Resize(t.Context(), cfg.Broker, cfg.Name, 2); wire.Code(err) != amqp.InternalError ||
			claims != 1 {
			t.Errorf("%d claims: %v", claims, err)
		}
	})
}
