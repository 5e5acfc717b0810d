package runner

import (
	"errors"
	"os"
	"testing"
)

// TestReservedThreadsStay: the runtime keeps them for later.
func TestReservedThreadsStay(t *testing.T) {
	const n = 30
	reserveThreads(n)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	if len(threads) < n {
		t.Errorf("%d threads, want %d or more", len(threads), n)
	}
}

// TestRunReservesThreads: Run does so before the start of the command, also if that
// fails. How many threads a process has without it differs, so to count them proves
// nothing.
func TestRunReservesThreads(t *testing.T) {
	_, err := (&Command{Args: []string{"/no/such/command"}}).Run(t.Context())
	if start := (*StartError)(nil); !errors.As(err, &start) {
		t.Fatal(err)
	}
	reserved.Do(func() { t.Error("Run has reserved none") })
}
