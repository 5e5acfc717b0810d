package amqplock

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// lateConn holds up what is written for as long as late says.
type lateConn struct {
	net.Conn
	late *atomic.Int64
}

func (c lateConn) Write(p []byte) (int, error) {
	<-time.After(time.Duration(c.late.Load()))
	return c.Conn.Write(p)
}

// TestEvictionIsConfirmedBeforeTheEnd: the holder gives up at once, and the answer to the
// eviction may still be on its way.
func TestEvictionIsConfirmedBeforeTheEnd(t *testing.T) {
	t.Parallel()
	b, ref := testBroker(t), testMutex()
	admin := newClient(t, b)
	var late atomic.Int64
	b.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return lateConn{conn, &late}, err
	}
	l := mustAcquire(t, newClient(t, b), ref, present("evicted"))
	waitFor(t, "the holder answers", func() bool {
		holders, err := admin.Holders(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return len(holders) == 1 && holders[0].ID == "evicted"
	})
	late.Store(int64(200 * time.Millisecond))
	released := make(chan error, 1)
	go func() {
		<-l.Context().Done()
		released <- l.Release(context.Background())
	}()
	if err := admin.Evict(t.Context(), ref, "evicted", "me"); err != nil {
		t.Error(err)
	}
	if err := <-released; !errors.Is(err, ErrLost) {
		t.Error(err)
	}
}
