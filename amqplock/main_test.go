package amqplock

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testBroker is the broker of the tests, or the reason why there is none.
func testBroker(t *testing.T) Broker {
	t.Helper()
	url := os.Getenv("AMQPRUN_URL")
	if url == "" {
		t.Skip("no broker: set AMQPRUN_URL (scripts/broker starts one)")
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	return Broker{URLs: []string{url}, Log: log}
}

func testClient(t *testing.T) *Client {
	t.Helper()
	return newClient(t, testBroker(t))
}

func newClient(t *testing.T, b Broker) *Client {
	t.Helper()
	c, err := New(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testMutex and testSemaphore are locks that no other test has.
func testMutex() Ref { return Mutex("test-" + rand.Text()) }

func testSemaphore(t *testing.T, c *Client) Ref {
	t.Helper()
	lock := Semaphore("test-" + rand.Text())
	t.Cleanup(func() {
		if err := c.Semaphore(lock.Name).Destroy(context.Background()); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return lock
}

// mustAcquire takes the lock and gives it back at the end of the test.
func mustAcquire(t *testing.T, c *Client, lock Ref, opts ...Option) *Lock {
	t.Helper()
	l, err := c.Acquire(t.Context(), lock, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Release(context.Background()) })
	return l
}

// waitFor polls until ok, for conditions that nothing announces.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in 10 s: %s", what)
		}
	}
}

// waitLost waits for the end of the lock's context and returns its cause.
func waitLost(t *testing.T, lock *Lock) *Error {
	t.Helper()
	select {
	case <-lock.Context().Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the lock was not lost in 10 s")
	}
	var lost *Error
	cause := context.Cause(lock.Context())
	if !errors.As(cause, &lost) || !errors.Is(cause, ErrLost) {
		t.Fatalf("cause is %v, want an *Error of kind ErrLost", cause)
	}
	return lost
}
