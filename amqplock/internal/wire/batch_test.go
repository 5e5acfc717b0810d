package wire

import (
	"net"
	"slices"
	"testing"
)

// sink notes each write.
type sink struct {
	net.Conn
	writes []string
}

func (s *sink) Write(p []byte) (int, error) {
	s.writes = append(s.writes, string(p))
	return len(p), nil
}

func TestHeldWritesAreOne(t *testing.T) {
	t.Parallel()
	var s sink
	b := newBatchConn(&s)
	write := func(text string) {
		if n, err := b.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("wrote %d bytes of %q: %v", n, text, err)
		}
	}
	write("a")
	b.hold()
	write("b")
	write("c")
	if len(s.writes) != 1 {
		t.Errorf("held writes were sent: %q", s.writes)
	}
	if err := b.send(); err != nil {
		t.Error(err)
	}
	write("d")
	if want := []string{"a", "bc", "d"}; !slices.Equal(s.writes, want) {
		t.Errorf("wrote %q, want %q", s.writes, want)
	}
}
