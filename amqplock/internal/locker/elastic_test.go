package locker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestElasticSetGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	growAndShrink(t, testConfig(t, wire.Semaphore))
}

// RabbitMQ 4.3 ends a connection that asks about a slot that is gone. It does so if the
// name is as long as this one and not ASCII. The set goes on with the others.
func TestElasticSetOfALongNameGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Name = (cfg.Name + "-ü" + strings.Repeat("x", 246))[:246]
	t.Cleanup(func() {
		if err := Destroy(context.Background(), cfg.Broker, cfg.Name); err != nil {
			t.Error(err)
		}
	})
	growAndShrink(t, cfg)
}

func growAndShrink(t *testing.T, cfg Config) {
	t.Helper()
	cfg.Slots, cfg.Greedy, cfg.Elastic = 1, true, true
	changes := make(chan []int, 16)
	cfg.OnChange = func(slots []int) { changes <- slots }
	lock := mustAcquire(t, cfg)
	admin := cfg
	await := func(want ...int) {
		t.Helper()
		timeout := time.After(testbroker.Patience)
		for {
			select {
			case got := <-changes:
				if slices.Equal(got, want) {
					return
				}
			case <-lock.Context().Done():
				t.Fatalf("lost: %v", context.Cause(lock.Context()))
			case <-timeout:
				t.Fatalf("holds %v, want %v", lock.Slots(), want)
			}
		}
	}
	for _, step := range []struct {
		delta int
		want  []int
	}{{1, []int{1, 2}}, {1, []int{1, 2, 3}}, {-2, []int{1}}, {1, []int{1, 2}}} {
		if err := Adjust(t.Context(), admin.Broker, admin.Name, step.delta); err != nil {
			t.Fatal(err)
		}
		await(step.want...)
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if err := Adjust(t.Context(), admin.Broker, admin.Name, -2); err != nil {
		t.Fatal(err)
	}
	if lost := waitLost(t, lock); !strings.Contains(lost.Lock, "slot") {
		t.Errorf("%v does not name the last slot", lost)
	}
}

// To a question about a slot that is just being removed RabbitMQ answers 541, which ends
// the connection. The lock connection, and with it the set, outlives the removal.
func TestRemovalDoesNotEndTheLockConnection(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		lock, free := elastic(t, p, cfg)
		free()
		pass(10 * time.Second)
		if got := lock.Slots(); !slices.Equal(got, []int{1, 2}) {
			t.Fatalf("holds %v, want slots 1 and 2", got)
		}
		lockConn := p.connOf(lock.link.Lock)
		p.answer(func(r *request) bool { // it is removed after the answer on the publish connection
			dying := r.method == "get" && r.queue == wire.SlotQueue("x", 2) && r.peerConn == lockConn
			if dying {
				replies["541"](r)
			}
			return dying
		})
		pass(10 * time.Second)
		p.mu.Lock()
		delete(p.queues, wire.SlotQueue("x", 2))
		p.mu.Unlock()
		pass(10 * time.Second)
		if got := lock.Slots(); !slices.Equal(got, []int{1}) || lock.Context().Err() != nil {
			t.Errorf("holds %v, want slot 1: %v", got, context.Cause(lock.Context()))
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// It answers 541 also to a consumer that comes while the slot is being removed.
func TestWatchingARemovedSlotDoesNotEndTheLockConnection(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		lock, free := elastic(t, p, cfg)
		refused := 0
		p.answer(func(r *request) bool {
			dying := r.method == "consume" && r.queue == wire.SlotQueue("x", 2)
			if dying {
				refused++
				replies["541"](r)
			}
			return dying
		})
		free()
		pass(10 * time.Second)
		if got := lock.Slots(); !slices.Equal(got, []int{1, 2}) || lock.Context().Err() != nil {
			t.Errorf("holds %v, want slots 1 and 2: %v", got, context.Cause(lock.Context()))
		}
		if refused == 0 {
			t.Error("nobody has watched slot 2")
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// An elastic set that begins while others wait joins the queue behind them. It grows
// when it is its turn.
func TestElasticSetGrowsBehindWaiters(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots, cfg.Greedy, cfg.Elastic, cfg.retry = 1, true, true, time.Hour
	changes := make(chan []int, 16)
	cfg.OnChange = func(slots []int) { changes <- slots }
	_, leave := joinQueue(t, cfg.Name)
	mustAcquire(t, cfg)
	awaitWaiters(t, cfg.Name, 2)
	leave()
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, 1); err != nil {
		t.Fatal(err)
	}
	if got := testbroker.Receive(t, "the growth", changes); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("holds %v, want slots 1 and 2", got)
	}
}

// Two checks may find a removal at once. It is reported once, and the set is not lost.
func TestRemovalIsReportedOnce(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots, cfg.Greedy, cfg.Elastic = 2, true, true
	changes := make(chan []int, 16)
	cfg.OnChange = func(slots []int) { changes <- slots }
	lock := mustAcquire(t, cfg)
	lock.stop() // or the set would grow again by what it loses
	gone := &goneError{slot: 2, check: "slot check", err: errors.New("no queue")}
	for range 2 {
		if !lock.survive(t.Context(), gone) {
			t.Fatal("the set was lost with one of its slots")
		}
	}
	if got := <-changes; !slices.Equal(got, []int{1}) || len(changes) > 0 {
		t.Errorf("reported %v, and %d times more", got, len(changes))
	}
}

// Failures of two slots at once are reported one after the other, and at last what is
// left of the set.
func TestChangesAreReportedInOrder(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots, cfg.Greedy, cfg.Elastic = 3, true, true
	reports, goOn := make(chan []int), make(chan struct{})
	cfg.OnChange = func(slots []int) {
		reports <- slots
		<-goOn
	}
	lock := mustAcquire(t, cfg)
	lock.stop() // or the set would grow again by what it loses
	var both errgroup.Group
	drop := func(slot int) {
		both.Go(func() error {
			lock.survive(
				t.Context(),
				&goneError{slot: slot, check: "slot check", err: errors.New("no queue")},
			)
			return nil
		})
	}
	drop(2)
	if got := <-reports; !slices.Equal(got, []int{1, 3}) {
		t.Errorf("reported %v", got)
	}
	drop(3)
	select {
	case got := <-reports:
		t.Errorf("reported %v at the same time", got)
	case <-time.After(200 * time.Millisecond):
		goOn <- struct{}{}
		if got := <-reports; !slices.Equal(got, []int{1}) {
			t.Errorf("reported %v at last", got)
		}
	}
	close(goOn)
	_ = both.Wait()
}
