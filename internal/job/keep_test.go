package job

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// kept holds slots of a semaphore with Keep, at a simulated broker. cut ends its
// connections.
func kept(t *testing.T, slots, count int) (b *broker.Broker, h *holding, cut func()) {
	t.Helper()
	b = broker.New(broker.Options{})
	t.Cleanup(b.Close)
	var mu sync.Mutex
	var sockets []*broker.Socket
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := b.DialContext(ctx, network, address)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			sockets = append(sockets, conn.(*broker.Socket))
		}
		return conn, err
	}
	s := Spec{
		Lock: amqplock.Semaphore("x"), Slots: slots, Count: count, OnLoss: Keep, ID: "kept",
		client: client(t, dial),
	}
	lock, err := s.client.Acquire(t.Context(), s.Lock, options(s)...)
	if err != nil {
		t.Fatal(err)
	}
	c := console.New(time.Now(), console.Settings{Quiet: true})
	h = &holding{spec: s, c: c, slots: lock.Slots(), lock: lock}
	t.Cleanup(func() { _ = release(h.current()) })
	return b, h, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, socket := range sockets {
			socket.Reset()
		}
		sockets = nil
	}
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func client(t *testing.T, dial dialer) *amqplock.Client {
	t.Helper()
	c, err := amqplock.New(amqplock.Broker{Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually polls.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(time.Minute)
	for !ok() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-timeout:
			t.Fatalf("in vain: %s", what)
		}
	}
}

// TestKeepTakesItsSlotAgain: the command goes on with the number that it was given.
func TestKeepTakesItsSlotAgain(t *testing.T) {
	t.Parallel()
	_, h, cut := kept(t, 4, 1)
	_, unbind := h.keep()
	defer unbind()
	for range 4 { // by chance it would be any
		lost := h.current()
		cut()
		eventually(t, "the lock is held again", func() bool { return h.current() != lost })
		if got := h.current().Slots(); !slices.Equal(got, h.slots) {
			t.Errorf("has slots %v, had %v", got, h.slots)
		}
	}
}

// TestEvictionWhileKeepWaits: a run that waits for several slots may keep some, and is
// evicted from these.
func TestEvictionWhileKeepWaits(t *testing.T) {
	t.Parallel()
	b, h, cut := kept(t, 2, 2)
	ctx, unbind := h.keep()
	defer unbind()
	waiting, granted := make(chan struct{}), make(chan *amqplock.Lock, 1)
	var once sync.Once
	other := client(t, b.DialContext)
	go func() {
		lock, err := other.Acquire(t.Context(), h.spec.Lock, amqplock.OnWaiting(
			func(amqplock.Waiting) { once.Do(func() { close(waiting) }) }))
		if err != nil {
			t.Error(err)
		}
		granted <- lock
	}()
	<-waiting
	b.Away(true) // to new connections, so that the other comes first
	cut()
	lock := <-granted
	if lock == nil {
		return
	}
	defer func() { _ = release(lock) }()
	b.Away(false)
	eventually(t, "the command is stopped", func() bool {
		if free, err := other.TryAcquire(t.Context(), h.spec.Lock); err == nil {
			_ = release(free) // has the first in the wait queue keep it
		}
		err := other.Evict(t.Context(), h.spec.Lock, h.spec.ID, "me")
		if err != nil && !errors.Is(err, amqplock.ErrNotFound) { // as long as it has no part
			t.Error(err)
		}
		return ctx.Err() != nil
	})
	if lost := context.Cause(ctx); !errors.Is(lost, amqplock.ErrLost) {
		t.Errorf("%v, want ErrLost", lost)
	}
}

// TestEvictionBeforeKeepTakesAgain: the eviction arrives on the second connection when
// the first has ended.
func TestEvictionBeforeKeepTakesAgain(t *testing.T) {
	t.Parallel()
	b := broker.New(broker.Options{})
	t.Cleanup(b.Close)
	first := make(chan *broker.Socket, 1) // that of the lock
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := b.DialContext(ctx, network, address)
		if err == nil {
			select {
			case first <- conn.(*broker.Socket):
			default:
			}
		}
		return conn, err
	}
	s := Spec{Lock: amqplock.Mutex("x"), OnLoss: Keep, ID: "kept", client: client(t, dial)}
	lock, err := s.client.Acquire(t.Context(), s.Lock, options(s)...)
	if err != nil {
		t.Fatal(err)
	}
	h := &holding{spec: s, c: console.New(time.Now(), console.Settings{Quiet: true}), lock: lock}
	t.Cleanup(func() { _ = release(h.current()) })
	other := client(t, b.DialContext)
	eventually(t, "the run answers", func() bool {
		list, err := other.Holders(t.Context(), s.Lock)
		return err == nil && len(list) == 1
	})
	(<-first).Reset()
	<-lock.Context().Done()
	if err := other.Evict(t.Context(), s.Lock, s.ID, "me"); err != nil {
		t.Fatal(err)
	}
	if err := h.takeAgain(t.Context(), lock); !errors.Is(err, amqplock.ErrLost) {
		t.Errorf("%v, want ErrLost", err)
	}
}
