package history

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
)

// deafConn loses all messages for consumers, until there is a new consumer.
type deafConn struct {
	net.Conn
	deaf   *atomic.Bool
	misses bool   // the rest of a message
	read   []byte // of a frame
}

func (c *deafConn) Read(p []byte) (int, error) {
	for len(c.read) == 0 {
		frame := make([]byte, 7) // type, channel, size
		if _, err := io.ReadFull(c.Conn, frame); err != nil {
			return 0, err
		}
		rest := make([]byte, binary.BigEndian.Uint32(frame[3:])+1)
		if _, err := io.ReadFull(c.Conn, rest); err != nil {
			return 0, err
		}
		const method, header, body = 1, 2, 3
		isDelivery := bytes.HasPrefix(rest, []byte{0, 60, 0, 60}) // basic.deliver
		if frame[0] == method {
			c.misses = isDelivery && c.deaf.Load()
		}
		if !c.misses || frame[0] != method && frame[0] != header && frame[0] != body {
			c.read = append(frame, rest...)
		}
	}
	n := copy(p, c.read)
	c.read = c.read[n:]
	return n, nil
}

func (c *deafConn) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte{0, 60, 0, 20}) { // basic.consume
		c.deaf.Store(false)
	}
	return c.Conn.Write(p)
}

// After a blip of a cluster with Mnesia a consumer may get nothing any more, without an
// error.
func TestFollowReadsAnewAfterASilence(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	var deaf atomic.Bool
	reader := l.on(dialed(t, func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &deafConn{Conn: conn, deaf: &deaf}, err
	}))
	granted := mustGrant(t, l, "a")
	reader.silence = 100 * time.Millisecond
	shown := make(chan Run, 10)
	ctx, cancel := context.WithCancel(deadline(t))
	done := make(chan error, 1)
	go func() {
		began := func(runs []Run) { shown <- runs[0] }
		done <- reader.Follow(ctx, 1, began, func(run Run) { shown <- run })
	}()
	testbroker.Receive(t, "the run a", shown)
	mustAppend(t, l, end(granted))
	testbroker.Receive(t, "the end of a", shown)
	deaf.Store(true)
	mustGrant(t, l, "b")
	if run := testbroker.Receive(t, "the run b", shown); run.Grant.ID != "b" || run.End != nil {
		t.Errorf("got %+v", run)
	}
	if len(shown) > 0 {
		t.Errorf("shown again: %+v", <-shown)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
