package locker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestMutexExcludes(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	lock := mustAcquire(t, cfg)
	if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
		t.Fatalf("second holder: %v, want ErrNotAcquired", err)
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Errorf("Verify of a held lock: %v", err)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
	if lock.Context().Err() == nil {
		t.Error("the context outlives the release")
	}
	if errors.Is(context.Cause(lock.Context()), fault.ErrLost) {
		t.Errorf("released, not lost: %v", context.Cause(lock.Context()))
	}
	again := mustAcquire(t, cfg)
	if again.Slots()[0] != 0 {
		t.Errorf("slot of a mutex: %d", again.Slots())
	}
}

func TestSemaphoreHasItsSlots(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotFound) {
		t.Fatalf("no semaphore: %v, want ErrNotFound", err)
	}
	cfg.Slots = 3
	seen := map[int]bool{}
	for range 3 {
		seen[mustAcquire(t, cfg).Slots()[0]] = true
	}
	if len(seen) != 3 || !seen[1] || !seen[2] || !seen[3] {
		t.Errorf("slots %v, want 1, 2 and 3", seen)
	}
	if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
		t.Errorf("fourth holder: %v, want ErrNotAcquired", err)
	}
	status, err := Look(t.Context(), cfg.Broker, cfg.Ref)
	if err != nil || status.Lock != cfg.Ref || status.Slots != 3 || status.Held != 3 ||
		len(status.Free) != 0 {
		t.Errorf("Look: %+v, %v", status, err)
	}
}

func TestWaitersAreServedInOrder(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.retry, cfg.look = time.Hour, time.Hour // hints alone
	holder := mustAcquire(t, cfg)
	order := make(chan int, 5)
	for i := range 5 {
		joined := make(chan struct{})
		mine := cfg
		mine.Log = onLog(func(text string) {
			if strings.HasPrefix(text, "waiting for") {
				close(joined)
			}
		})
		passThrough(t, mine, order, i)
		<-joined
		awaitWaiters(t, cfg.Name, i+1)
	}
	if err := holder.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	servedInOrder(t, order, 0, 1, 2, 3, 4)
}

// joinQueue takes a place in the wait queue of a lock, as a foreign client.
func joinQueue(t *testing.T, name string) (hints <-chan amqp.Delivery, leave func()) {
	t.Helper()
	channel := testChannel(t)
	_, err := waitq.Declare(channel, name)
	if err == nil {
		err = channel.Qos(1, 0, false)
	}
	if err == nil {
		hints, err = channel.Consume(wire.WaitQueue(name), "", false, false, false, false, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return hints, func() {
		if err := channel.Close(); err != nil {
			t.Error(err)
		}
	}
}

// awaitWaiters waits until n stand in the wait queue of a lock.
func awaitWaiters(t *testing.T, name string, n int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d wait", n), func() bool {
		return consumers(t, wire.WaitQueue(name)) == n
	})
}

// passThrough takes the lock in the background, sends who to granted, and releases it.
func passThrough[T any](t *testing.T, cfg Config, granted chan<- T, who T) {
	var done sync.WaitGroup
	t.Cleanup(done.Wait)
	done.Go(func() {
		lock, err := Acquire(t.Context(), cfg)
		if err != nil {
			t.Errorf("%v: %v", who, err)
			return
		}
		granted <- who
		if err := lock.Release(context.Background()); err != nil {
			t.Errorf("%v: %v", who, err)
		}
	})
}

// servedInOrder waits for what granted brings. It has room for all of them.
func servedInOrder[T comparable](t *testing.T, granted <-chan T, all ...T) {
	t.Helper()
	for _, want := range all {
		if got := testbroker.Receive(t, fmt.Sprint("service of ", want), granted); got != want {
			t.Errorf("%v was served, want %v", got, want)
		}
	}
}

// consumers counts who stands in a line, 0 when there is none.
func consumers(t *testing.T, queue string) int {
	t.Helper()
	conn, err := amqp.Dial(testURL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	q, err := channel.QueueDeclarePassive(queue, false, false, false, false, nil)
	if err != nil && !wire.Absent(err) {
		t.Fatal(err)
	}
	return q.Consumers
}

func TestCancelledWaitLeavesNothing(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	mustAcquire(t, cfg)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := Acquire(ctx, cfg)
		failed <- err
	}()
	awaitWaiters(t, cfg.Name, 1)
	cancel(why)
	if err := <-failed; !errors.Is(err, fault.ErrNotAcquired) || !errors.Is(err, why) {
		t.Errorf("got %v, want ErrNotAcquired and the cause", err)
	}
	awaitWaiters(t, cfg.Name, 0)
}

func TestWaitEndsInTime(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	mustAcquire(t, cfg)
	ctx, end := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := Acquire(ctx, cfg)
		failed <- err
	}()
	awaitWaiters(t, cfg.Name, 1)
	end(context.DeadlineExceeded)
	if err := <-failed; !errors.Is(err, fault.ErrNotAcquired) {
		t.Errorf("got %v, want ErrNotAcquired", err)
	}
}

// In an alarm the broker stops reading from a connection that has published: the one that
// holds must not have.
func TestLockConnectionNeverPublishes(t *testing.T) {
	t.Parallel()
	const basic, publish, queue, declare = 60, 40, 50, 10
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		t.Run(string(kind), func(t *testing.T) {
			cfg := testConfig(t, kind)
			cfg.Dial = dialWire
			if kind == wire.Semaphore {
				cfg.Slots = 1
			}
			lock := mustAcquire(t, cfg)
			waiting := make(chan error, 1)
			go func() { // so that the release has somebody to wake
				other := cfg
				other.Dial = nil
				next, err := Acquire(t.Context(), other)
				if err == nil {
					err = next.Release(t.Context())
				}
				waiting <- err
			}()
			awaitWaiters(t, cfg.Name, 1)
			if err := lock.Verify(t.Context()); err != nil {
				t.Error(err)
			}
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-waiting; err != nil {
				t.Error(err)
			}
			if wireOf(lock).sent(queue, declare) == 0 {
				t.Error("the sniffer saw no declare: it does not work")
			}
			if n := wireOf(lock).sent(basic, publish); n > 0 {
				t.Errorf("%d publishes on the lock connection", n)
			}
		})
	}
}

func TestRecoveryIsOff(t *testing.T) {
	t.Parallel()
	lock := mustAcquire(t, testConfig(t, wire.Mutex))
	if lock.link.Lock.IsRecoveryEnabled() || lock.link.Lock.Config.Recovery != nil {
		t.Error("a connection that comes back by itself would take a lost lock again in silence")
	}
}

// amqp091-go closes a silent connection after 1.5 heartbeats, and on Close: neither may
// reach the socket.
func TestLibraryCannotCloseTheHoldSocket(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.Dial = dialWire
	lock := mustAcquire(t, cfg)
	hold := lock.link.Lock
	_ = hold.CloseDeadline(time.Now().Add(time.Second))
	if wireOf(lock).closed.Load() {
		t.Error("Close of the library closed the socket")
	}
	if !hold.IsClosed() {
		t.Error("the library does not know that it closed")
	}
}

func TestWorkQueueIsNoLock(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	conn, err := amqp.Dial(cfg.URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channel.QueueDeclare(cfg.Name, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = channel.QueueDelete(cfg.Name, false, false, false) }()
	if _, err := Acquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotALock) {
		t.Errorf("Acquire: %v, want ErrNotALock", err)
	}
	if _, err := Inspect(t.Context(), cfg.Broker, cfg.Ref); !errors.Is(err, fault.ErrNotALock) {
		t.Errorf("Inspect: %v, want ErrNotALock", err)
	}
	semaphore := cfg
	semaphore.Kind = wire.Semaphore
	if err := Adjust(t.Context(), semaphore.Broker, semaphore.Name, 1); !errors.Is(
		err,
		fault.ErrNotALock,
	) {
		t.Errorf("Adjust: %v, want ErrNotALock", err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	cfg := Config{
		Broker: wire.Broker{
			URLs:           []string{"amqp://user:secret@127.0.0.1:1/"},
			ConnectTimeout: 10 * time.Millisecond,
		},
		Ref: wire.Ref{Kind: wire.Mutex, Name: "x"},
	}
	_, err := Acquire(t.Context(), cfg)
	if !errors.Is(err, fault.ErrUnreachable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// A contender that is canceled before there is a connection gets the same kind of error
// as one that is canceled while it waits.
func TestCancelledWhileConnecting(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	for _, acquire := range []func(context.Context, Config) (*Holder, error){Acquire, TryAcquire} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cfg := Config{
			Ref: wire.Ref{Kind: wire.Mutex, Name: "x"},
			Broker: wire.Broker{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				cancel(why)
				<-ctx.Done()
				return nil, ctx.Err()
			}},
		}
		_, err := acquire(ctx, cfg)
		var failure *fault.Error
		if !errors.As(err, &failure) || !errors.Is(err, fault.ErrNotAcquired) || !errors.Is(err, why) {
			t.Errorf("got %v, want ErrNotAcquired and the cause", err)
		}
	}
}
