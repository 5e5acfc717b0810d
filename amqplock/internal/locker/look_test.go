package locker

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// lateConn is a connection over which what comes from the broker takes that long. A
// message takes several reads. Those behind the first find theirs late enough.
type lateConn struct {
	net.Conn
	delay *atomic.Int64
}

func (l lateConn) Read(p []byte) (int, error) {
	begun := time.Now()
	n, err := l.Conn.Read(p)
	if time.Now().After(begun) { // in the bubble: it had to wait
		<-time.After(time.Duration(l.delay.Load()))
	}
	return n, err
}

// Waiters on a busy machine answer later than the holder. The broker knows how many there
// are.
func TestStatusWaitsForSlowWaiters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		late []time.Duration // that of the holder first
	}{
		{"one of two waiters", []time.Duration{0, 0, 250 * time.Millisecond}},
		{"all", []time.Duration{200 * time.Millisecond, 390 * time.Millisecond}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := broker.New(broker.Options{})
				defer b.Close()
				cfg := Config{
					Broker: wire.Broker{Dial: b.DialContext, Log: testLog(t)},
					Ref:    wire.Ref{Kind: wire.Mutex, Name: "x"}, clock: &bubbleClock{start: time.Now()},
				}
				ctx, cancel := context.WithCancel(t.Context())
				var done sync.WaitGroup
				delays := make([]atomic.Int64, len(test.late))
				for i := range delays {
					one := cfg
					one.About = func() presence.About { return presence.About{ID: fmt.Sprint("run ", i)} }
					one.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
						conn, err := b.DialContext(ctx, network, address)
						return lateConn{conn, &delays[i]}, err
					}
					done.Go(func() {
						if lock, err := Acquire(ctx, one); err == nil {
							<-ctx.Done()
							_ = lock.Release(context.Background())
						}
					})
					pass(7 * time.Second) // between two heartbeats
				}
				for i, late := range test.late {
					delays[i].Store(int64(late))
				}
				seen, err := Inspect(t.Context(), cfg.Broker, cfg.Ref)
				if err != nil || len(seen.Said) != len(test.late) || seen.Queued != len(test.late)-1 {
					t.Errorf("%d in the queue, %+v, %v", seen.Queued, seen.Said, err)
				}
				cancel()
				done.Wait()
				pass(time.Minute) // what is late has been read by then
			})
		})
	}
}
