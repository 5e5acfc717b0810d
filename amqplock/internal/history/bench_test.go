package history

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

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
		if _, err := tail.Grant(b.Context(), Record{Kind: wire.Mutex, ID: "x"}, uncut); err != nil {
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
		lit := newBeacon(conn.MayGrantTwice())
		err := lit.light(b.Context(), conn)
		if err == nil {
			_, err = askClock(b.Context(), lit)
		}
		if err != nil {
			b.Fatal(err)
		}
		lit.dim()
	}
}

// BenchmarkRuns measures how amqprun history reads a long history. Its runs have ended
// one after the other, so each record is a chunk of its own.
func BenchmarkRuns(b *testing.B) {
	const runs = 10_000
	l := testLog(b)
	fill(b, l, runs, func(confirm *amqp.DeferredConfirmation) { confirm.Wait() })
	for _, n := range []int{20, runs} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				got, err := l.Runs(b.Context(), n)
				if err != nil || len(got) != n {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

// fill adds runs with the IDs 0, 1, 2... to a log. It calls sent after each record.
func fill(t testing.TB, l *Log, runs int, sent func(*amqp.DeferredConfirmation)) {
	t.Helper()
	first := mustGrant(t, l, "first")
	w, err := l.open(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := range runs {
		r := first
		r.ID = fmt.Sprint(i)
		for _, r := range []Record{r, end(r)} {
			body, err := r.encode()
			if err != nil {
				t.Fatal(err)
			}
			confirm, err := w.channel.PublishWithDeferredConfirm("", l.queue, false, false,
				amqp.Publishing{Body: body})
			if err != nil {
				t.Fatal(err)
			}
			sent(confirm)
		}
	}
	mustAppend(t, l, end(first)) // everything is there when this is
}
