package runner

import (
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
