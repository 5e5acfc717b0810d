// Package testbroker is what the tests of amqplock's packages share: where the broker is,
// and how to wait for what has to happen.
package testbroker

import (
	"crypto/rand"
	"log/slog"
	"os"
	"testing"
	"time"
)

// Patience is how long a test waits for what has to happen. It only ends a test that
// would hang, so it says nothing about speed. On a busy machine a login can take three
// seconds.
const Patience = time.Minute

// URL is the broker of the tests. It skips the test where there is none.
func URL(t testing.TB) string {
	t.Helper()
	url := os.Getenv("AMQPRUN_URL")
	if url == "" {
		t.Skip("no broker: set AMQPRUN_URL (scripts/broker starts one)")
	}
	return url
}

// Name is a lock name that no other test has.
func Name() string { return "test-" + rand.Text() }

// Log logs each step to the test.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// WaitFor polls until ok, for conditions that nothing announces. An error names
// what.
func WaitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in %s: %s", Patience, what)
		}
	}
}

// Receive returns the next value of c. An error names what.
func Receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case value := <-c:
		return value
	case <-time.After(Patience):
		t.Fatalf("not in %s: %s", Patience, what)
		panic("unreachable")
	}
}
