package history

import (
	"testing"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// BenchmarkToken measures the time that --fence adds to a grant: the append, and reading
// it back. Opening the tail is beside the claim.
func BenchmarkToken(b *testing.B) {
	l := testLog(b)
	mustGrant(b, l, "first")
	for b.Loop() {
		b.StopTimer()
		tail, err := l.Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		<-tail.warmed
		b.StartTimer()
		if _, err := tail.Grant(b.Context(), Record{Kind: wire.Mutex, ID: "x"}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		tail.Close()
		b.StartTimer()
	}
}

func BenchmarkOpen(b *testing.B) {
	l := testLog(b)
	mustGrant(b, l, "first")
	for b.Loop() {
		tail, err := l.Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		<-tail.warmed
		tail.Close()
	}
}

func BenchmarkAppend(b *testing.B) {
	l := testLog(b)
	mustGrant(b, l, "first")
	for b.Loop() {
		mustAppend(b, l, end(Record{ID: "x"}))
	}
}

func BenchmarkClock(b *testing.B) {
	conn := testConn(b)
	for b.Loop() {
		if _, err := askClock(b.Context(), conn); err != nil {
			b.Fatal(err)
		}
	}
}
