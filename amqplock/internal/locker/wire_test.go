package locker

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
)

// dialWire is a Broker.Dial that can watch and disturb what it dialed.
func dialWire(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: conn}, nil
}

// wireOf is the lock connection of a lock that was dialed over a wire.
func wireOf(l *Holder) *wireConn { return l.link.Lock.Socket.(*wireConn) }

// wireConn records the methods that the client sends, and can swallow all that goes
// either way.
type wireConn struct {
	net.Conn
	blackHole atomic.Bool
	closed    atomic.Bool
	onMethod  func() // called for each method that was sent; may be nil

	mu      sync.Mutex
	pending []byte
	started bool
	methods map[[2]uint16]int // class and method id, how often
}

func (c *wireConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.blackHole.Load() {
			return n, err
		}
	}
}

func (c *wireConn) Write(p []byte) (int, error) {
	methods := c.record(p)
	if c.blackHole.Load() {
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	for range methods {
		if c.onMethod != nil {
			c.onMethod()
		}
	}
	return n, err
}

func (c *wireConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// record splits the stream into frames: type, channel, size, payload, end; a method's
// payload begins with its ids. It returns how many methods p completes.
func (c *wireConn) record(p []byte) (methods int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, p...)
	if !c.started && len(c.pending) >= 8 {
		c.pending, c.started = c.pending[8:], true // the protocol header
		c.methods = map[[2]uint16]int{}
	}
	for c.started && len(c.pending) >= 7 {
		size := int(binary.BigEndian.Uint32(c.pending[3:])) + 8
		if len(c.pending) < size {
			return methods
		}
		if c.pending[0] == 1 {
			methods++
			c.methods[[2]uint16{binary.BigEndian.Uint16(c.pending[7:]),
				binary.BigEndian.Uint16(c.pending[9:])}]++
		}
		c.pending = c.pending[size:]
	}
	return methods
}

// sent returns how often the client sent a method.
func (c *wireConn) sent(class, method uint16) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.methods[[2]uint16{class, method}]
}
