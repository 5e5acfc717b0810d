package locker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestLostWhenTheQueueIsDeleted(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots, cfg.CheckInterval = 1, 50*time.Millisecond
	lock := mustAcquire(t, cfg)
	if err := lock.link.Requests.Remove(wire.HeldQueue(cfg.Name, 1)); err != nil {
		t.Fatal(err)
	}
	lost := waitLost(t, lock)
	if !strings.Contains(lost.Reason, "ownership") {
		t.Errorf("reason %q does not name the check of ownership", lost.Reason)
	}
	if err := lock.Release(t.Context()); !errors.Is(err, fault.ErrLost) {
		t.Errorf("Release of a lost lock: %v, want ErrLost", err)
	}
}

// The broker confirms a publish to the queue just as well when it has become another's;
// only its owner can declare it.
func TestLostWhenTheQueueBelongsToAnother(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	lock := mustAcquire(t, cfg)
	lock.stop() // the checks are the test's to call
	if err := lock.link.Requests.Remove(cfg.Name); err != nil {
		t.Fatal(err)
	}
	mustAcquire(t, cfg)
	if err := lock.Verify(t.Context()); !errors.Is(err, fault.ErrLost) {
		t.Errorf("Verify: %v, want ErrLost", err)
	}
	if lost := waitLost(t, lock); !strings.Contains(lost.Reason, "ownership") {
		t.Errorf("reason %q does not name the check of ownership", lost.Reason)
	}
}

func TestLostWhenTheSlotIsRemoved(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots, cfg.CheckInterval = 2, 50*time.Millisecond
	first, second := mustAcquire(t, cfg), mustAcquire(t, cfg)
	if first.Slots()[0] == 2 {
		first, second = second, first
	}
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, -1); err != nil {
		t.Fatal(err)
	}
	// RabbitMQ 3.10 closes the connection of one that reads a slot at the instant of its
	// deletion.
	if lost := waitLost(t, second); !strings.Contains(lost.Lock, "slot 2") ||
		!strings.Contains(lost.Reason, "slot check") &&
			!strings.Contains(lost.Reason, "INTERNAL_ERROR") {
		t.Errorf("%v does not name the slot", lost)
	}
	if err := first.Verify(t.Context()); err != nil {
		t.Errorf("the slot that was left is lost too: %v", err)
	}
}

// A loss that no check has seen yet is found at the release. A command that ran without
// the lock must not count as a success.
func TestReleaseReportsALateLoss(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	lock := mustAcquire(t, cfg)
	lock.stop()
	if err := lock.link.Requests.Remove(cfg.Name); err != nil {
		t.Fatal(err)
	}
	if err := lock.Release(t.Context()); !errors.Is(err, fault.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
}

// The connection had ended before the work had, and nobody has noticed yet.
func TestReleaseFindsTheEndOfTheConnection(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.Dial = dialWire
	lock := mustAcquire(t, cfg)
	lock.stop()
	_ = wireOf(lock).Conn.Close()
	testbroker.Receive(t, "the end of the connection", lock.link.Lock.Ended)
	if err := lock.Release(t.Context()); !errors.Is(err, fault.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
}

func TestLostWhenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.Dial = dialWire
	lock := mustAcquire(t, cfg)
	_ = wireOf(lock).Conn.Close()
	if lost := waitLost(t, lock); !strings.Contains(lost.Reason, "connection") {
		t.Errorf("reason %q does not name the connection", lost.Reason)
	}
}

// Silence: the context ends StopTime before the lease, to the millisecond. The socket
// stays open, because closing it would free the lock while the command is still being
// stopped.
func TestLeaseEndsInSilence(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{now: 1000 * time.Second}
	cfg := testConfig(t, wire.Mutex)
	cfg.Dial, cfg.clock = dialWire, clock
	lock := mustAcquire(t, cfg)
	if got, want := lock.StopAt(), 1014*time.Second; got != want {
		t.Fatalf("stop at %s, want %s", got, want)
	}
	wireOf(lock).blackHole.Store(true)
	clock.advance(14*time.Second - time.Millisecond)
	if err := lock.Context().Err(); err != nil {
		t.Fatalf("ended a millisecond early: %v", context.Cause(lock.Context()))
	}
	clock.advance(time.Millisecond)
	if lost := waitLost(t, lock); !strings.Contains(lost.Reason, "lease") ||
		lost.Age != 14*time.Second {
		t.Errorf("lost: %+v", lost)
	}
	if wireOf(lock).closed.Load() {
		t.Error("the socket was closed while the command may live")
	}
	if err := lock.Release(t.Context()); !errors.Is(err, fault.ErrLost) {
		t.Errorf("Release: %v, want ErrLost", err)
	}
	if !wireOf(lock).closed.Load() {
		t.Error("Release left the socket open")
	}
}

// A machine that was suspended finds its lease over when it goes on, whatever the broker
// would answer.
func TestLeaseCountsSuspend(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{now: time.Hour}
	cfg := testConfig(t, wire.Mutex)
	cfg.clock = clock
	lock := mustAcquire(t, cfg)
	clock.jump(20 * time.Hour)
	if err := lock.Verify(t.Context()); !errors.Is(err, fault.ErrLost) {
		t.Errorf("Verify after a long suspend: %v, want ErrLost", err)
	}
}
