package locker

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/lease"
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
			simulated(t, wire.Mutex, func(t *testing.T, b *broker.Broker, cfg Config) {
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

// fragileConn is one that the broker ends at a question about a name.
type fragileConn struct {
	*broker.Socket
	name string
}

func (c fragileConn) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.name)) {
		c.Reset()
		return len(p), nil
	}
	return c.Socket.Write(p)
}

// One lock that cannot be counted does not hide the others, also where the question about
// it ends the connection.
func TestOneLockHidesNoOthers(t *testing.T) {
	t.Parallel()
	for name, question := range map[string]string{"no such lock": "none", "ends": "another"} {
		t.Run(name, func(t *testing.T) {
			simulated(t, wire.Mutex, func(t *testing.T, b *broker.Broker, cfg Config) {
				cfg.About = func() presence.About { return presence.About{ID: "holder"} }
				lock := mustAcquire(t, cfg)
				link := testSession(t, cfg)
				other := wire.Ref{Kind: wire.Semaphore, Name: "another"} // which does not exist
				if question == other.Name {
					other.Kind = wire.Mutex
				}
				liar := presence.New(other, link.Broker, lease.BootClock{}, 0, func() presence.About {
					return presence.About{ID: "liar"}
				})
				liar.Holds(presence.Holding{Slots: func() []int { return []int{1} }})
				if err := link.OpenPublish(t.Context()); err != nil {
					t.Fatal(err)
				}
				liar.Appear(link.Publish())
				pass(time.Second)
				asker := cfg.Broker
				asker.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := b.DialContext(ctx, network, address)
					return fragileConn{conn.(*broker.Socket), question}, err
				}
				all, err := InspectAll(t.Context(), asker)
				if err != nil || len(all) != 1 || all[0].Lock != cfg.Ref || all[0].Held != 1 {
					t.Errorf("%+v, %v; want %s alone", all, err, cfg.Ref)
				}
				if err := lock.Release(t.Context()); err != nil {
					t.Error(err)
				}
				link.Abort()
				liar.Wait()
			})
		})
	}
}
