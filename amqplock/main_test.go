package amqplock

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
)

var waitFor = testbroker.WaitFor

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testBroker is the broker of the tests, or the reason why there is none.
func testBroker(t *testing.T) Broker {
	t.Helper()
	return Broker{URLs: []string{testbroker.URL(t)}, Log: testbroker.Log(t)}
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
func testMutex() Ref { return Mutex(testbroker.Name()) }

func testSemaphore(t *testing.T, c *Client) Ref {
	t.Helper()
	lock := Semaphore(testbroker.Name())
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

// waitLost waits for the end of the lock's context and returns its cause.
func waitLost(t *testing.T, lock *Lock) *Error {
	t.Helper()
	testbroker.Receive(t, "the loss of the lock", lock.Context().Done())
	var lost *Error
	cause := context.Cause(lock.Context())
	if !errors.As(cause, &lost) || !errors.Is(cause, ErrLost) {
		t.Fatalf("cause is %v, want an *Error of kind ErrLost", cause)
	}
	return lost
}
