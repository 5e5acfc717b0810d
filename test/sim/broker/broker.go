// Package broker is a RabbitMQ in Go, as far as amqprun uses one: a server of AMQP 0-9-1
// over connections in memory. It works with the clock of a synctest bubble and with that
// of the machine.
//
// Its network, its failures and its slowness belong to the test, which draws them from a
// seed. test/sim/conversations compares what it says with real brokers.
package broker

import (
	"context"
	"net"
	"syscall"
)

// Broker is one RabbitMQ, or a cluster of them that shares its queues. Its methods may be
// called by any goroutine, but not by Options.Observe.
type Broker struct{ cluster }

// New starts a broker. Close ends it.
func New(options Options) *Broker {
	return &Broker{cluster{
		engine: newEngine(options), whole: newView(), nodes: map[string]*node{},
	}}
}

// Close ends the broker with all its connections, without a word to the clients.
func (b *Broker) Close() {
	b.loop.do(func() {
		for _, c := range b.open() {
			c.socket.receive(nil, net.ErrClosed)
		}
	})
	b.loop.close()
}

// Dial opens a connection to the node "broker".
func (b *Broker) Dial() (net.Conn, error) {
	return b.DialContext(context.Background(), "tcp", "broker:5672")
}

// DialContext opens a connection to the node of that host. It has the signature of a
// net.Dialer's. The net.Conn is a *Socket.
func (b *Broker) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var c *conn
	b.loop.do(func() {
		if !b.away {
			c = b.accept(host)
		}
	})
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if c == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return c.socket, nil
}

// MakeQuorum makes durable quorum queues that keep no message, as a slot is.
func (b *Broker) MakeQuorum(names ...string) {
	b.loop.do(func() {
		for _, name := range names {
			b.whole.queues[name] = newQueue(b.engine, b.whole, declaration{
				name: name, durable: true,
				args: table{"x-queue-type": string(quorum), "x-max-length": int64(0)},
			})
		}
	})
}

// Contents are the queues by name, and how many connections there are.
func (b *Broker) Contents() (queues []Content, conns int) {
	b.loop.do(func() {
		for _, q := range b.whole.sorted() {
			queues = append(queues, Content{q.name, q.owner != nil, len(q.consumers)})
		}
		conns = len(b.open())
	})
	return queues, conns
}

// Content is a queue.
type Content struct {
	Name      string
	Exclusive bool
	Consumers int
}
