package amqplock

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testURL is the broker of the tests, or the reason why there is none.
func testURL(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"AMQPRUN_URL", "AMQP_URL"} {
		if url := os.Getenv(name); url != "" {
			return url
		}
	}
	t.Skip("no broker: set AMQPRUN_URL (scripts/broker starts one)")
	return ""
}

// testConfig is a lock that no other test has.
func testConfig(t *testing.T, kind Kind) Config {
	t.Helper()
	cfg := Config{
		Broker:   Broker{URLs: []string{testURL(t)}},
		Kind:     kind,
		Name:     "test-" + rand.Text(),
		StopTime: 5 * time.Second,
		Logf:     t.Logf,
	}
	if kind == Semaphore {
		t.Cleanup(func() {
			if err := Destroy(context.Background(), Config{Broker: cfg.Broker, Name: cfg.Name}); err != nil {
				t.Errorf("clean up: %v", err)
			}
		})
	}
	return cfg
}

// mustAcquire takes the lock and gives it back at the end of the test.
func mustAcquire(t *testing.T, cfg Config) *Lock {
	t.Helper()
	lock, err := Acquire(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Release(context.Background()) })
	return lock
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
func waitLost(t *testing.T, lock *Lock) *LostError {
	t.Helper()
	select {
	case <-lock.Context().Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the lock was not lost in 10 s")
	}
	var lost *LostError
	if !errors.As(context.Cause(lock.Context()), &lost) {
		t.Fatalf("cause is %v, want a *LostError", context.Cause(lock.Context()))
	}
	return lost
}
