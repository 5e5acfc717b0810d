package history

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// Whoever gives up the log in the middle of its opening keeps the connection. A request
// behind the closing of its channel would end it (504), and with it a place in the wait
// queue.
func TestOpeningThatIsGivenUpKeepsTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(broker.Options{
			Latency: func(*rand.Rand) time.Duration { return time.Millisecond },
		})
		defer b.Close()
		at, err := wire.Broker{Dial: b.DialContext}.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		lock := wire.Ref{Kind: wire.Mutex, Name: "x"}
		for wait := time.Duration(0); wait < 30*time.Millisecond; wait += 250 * time.Microsecond {
			conn, err := at.Open(t.Context(), wire.ForPublish)
			if err != nil {
				t.Fatal(err)
			}
			if wait == 0 {
				if err := New(conn, lock).Append(t.Context(), Record{Type: TypeGrant, Token: 1}); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			if tail, err := New(conn, lock).Open(ctx); err == nil {
				tail.Close()
			}
			cancel()
			<-time.After(time.Second)
			if conn.IsClosed() {
				<-conn.Ended
				t.Errorf("given up after %s: %v", wait, conn.Why)
			}
			conn.Abort()
		}
	})
}

// A newcomer that gets no answer about a beacon goes on soon, and takes it for one that
// is lit.
func TestSilenceAboutABeacon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(broker.Options{})
		defer b.Close()
		at, err := wire.Broker{Dial: b.DialContext, Heartbeat: time.Minute}.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := at.Open(t.Context(), wire.ForPublish)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Abort()
		conn.Socket.(*broker.Socket).Lose()
		begun := time.Now()
		if isDark(t.Context(), conn, "x") || time.Since(begun) != darkTime {
			t.Errorf("it is dark, or took %s", time.Since(begun))
		}
	})
}
