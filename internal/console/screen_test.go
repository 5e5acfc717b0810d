package console

import (
	"testing"
	"time"
)

func TestFrameFitsTheTerminal(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 14, 2, 11, 0, time.UTC)
	got := frame("a long line\nb\nc\n", now, 6, 4)
	if want := "\x1b[H2026-0\x1b[K\na long\x1b[K\nb\x1b[K\n\x1b[J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
