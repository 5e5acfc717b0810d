package main

import (
	"testing"
	"time"
)

// A heartbeat, a method over two packets, and one behind it.
func TestFrames(t *testing.T) {
	t.Parallel()
	heartbeat := []byte{8, 0, 0, 0, 0, 0, 0, 0xce}
	empty := []byte{1, 0, 2, 0, 0, 0, 5, 0, 60, 0, 72, 0, 0xce}
	w := &wire{}
	s := stream{client: 7}
	rest := w.frames(s, time.Second, append(heartbeat, empty[:9]...))
	rest = w.frames(s, 2*time.Second, append(append(rest, empty[9:]...), empty...))
	want := method{stream: s, at: 2 * time.Second, name: "basic.get-empty"}
	if len(rest) != 0 || len(w.seen) != 2 || w.seen[0] != want || w.seen[1] != want {
		t.Errorf("saw %v, left %v", w.seen, rest)
	}
}
