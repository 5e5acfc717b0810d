// Package broker is a RabbitMQ in Go, as far as amqprun uses one: a server of AMQP 0-9-1
// over connections in memory. It works with the clock of a synctest bubble and with that
// of the machine.
//
// Its network, its failures and its slowness belong to the test, which draws them from a
// seed. test/sim/conversations compares what it says with real brokers.
package broker

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
	"time"
)

// Release is whose behavior the broker shows.
type Release string

// The releases that differ in what amqprun can see of them.
const (
	V310 Release = "3.10.8"
	V40  Release = "4.0.5"
	V43  Release = "4.3.6"
)

// Options are of a broker. The zero value is a RabbitMQ 4.0 in good health, which takes
// no time.
type Options struct {
	Release Release
	// Heartbeat is what connection.tune suggests, in whole seconds. 0 means 60 s.
	Heartbeat time.Duration
	// Channels is how many a connection may have. 0 means 2047.
	Channels uint16
	// Latency is that of the network; nil means none.
	Latency Latency
	// Cost is how long a request keeps its channel busy before it has an effect. nil means
	// no time. The method is named as in the reference, "queue.declare".
	Cost func(dice *rand.Rand, method, queue string) time.Duration
	// Seed is where all that is drawn comes from.
	Seed uint64
	// Observe is called with each thing that happens to an exclusive queue and to a place
	// in a queue, in the loop of the broker. It must not block. nil means nobody.
	Observe func(Event)
}

// Broker is one RabbitMQ, or a cluster of them that shares its queues.
type Broker struct {
	options Options
	loop    *loop
	dice    *rand.Rand
	whole   *view // that of all nodes which are not cut off
	nodes   map[string]*node
	conns   []*conn
	dialed  int // by loop.do only
	alarm   string
	away    bool
	names   int        // of queues and consumers that the broker has named
	parked  []*channel // that wait for a majority

	quorumDelay time.Duration // see QuorumDelay
	chance      float64       // see DeleteByName
	late        time.Duration
}

// node is one of the cluster. Its name is the host part of the address that was dialed.
type node struct {
	view    *view
	stalled bool // no majority answers: what needs one waits
}

// New starts a broker. Close ends it.
func New(options Options) *Broker {
	if options.Release == "" {
		options.Release = V40
	}
	if options.Heartbeat == 0 {
		options.Heartbeat = time.Minute
	}
	if options.Channels == 0 {
		options.Channels = 2047
	}
	if options.Latency == nil {
		options.Latency = func(*rand.Rand) time.Duration { return 0 }
	}
	if options.Cost == nil {
		options.Cost = func(*rand.Rand, string, string) time.Duration { return 0 }
	}
	if options.Observe == nil {
		options.Observe = func(Event) {}
	}
	return &Broker{
		options: options,
		loop:    newLoop(),
		dice:    rand.New(rand.NewPCG(options.Seed, 0)),
		whole:   newView(),
		nodes:   map[string]*node{},
	}
}

// Close ends the broker with all its connections, without a word to the clients.
func (b *Broker) Close() {
	b.loop.do(func() {
		for _, c := range b.conns {
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

// handshakeTime is for how long RabbitMQ waits for a client to log in.
const handshakeTime = 10 * time.Second

// accept has the loop.
func (b *Broker) accept(host string) *conn {
	b.dialed++
	id := b.dialed
	dice := rand.New(rand.NewPCG(b.options.Seed, uint64(id)))
	c := newConn(b, id, b.node(host), dice)
	c.socket = newSocket(b.loop, b.options.Latency, rand.New(rand.NewPCG(dice.Uint64(), 1)),
		addr("client-"+strconv.Itoa(id)))
	c.socket.arrive = c.arrive
	c.socket.reset = func() { c.end(NetworkReset) }
	b.conns = append(b.conns, c)
	b.after(handshakeTime, func() {
		if !c.open {
			c.end(ClientSilent)
		}
	})
	return c
}

func (b *Broker) node(host string) *node {
	n := b.nodes[host]
	if n == nil {
		n = &node{view: b.whole}
		b.nodes[host] = n
	}
	return n
}

// after runs f in the loop, some time from now.
func (b *Broker) after(d time.Duration, f func()) { b.loop.at(time.Now().Add(d), f) }

// name invents a name that no client can have chosen.
func (b *Broker) name(prefix string) string {
	b.names++
	return prefix + strconv.Itoa(b.names)
}
