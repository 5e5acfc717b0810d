package broker

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// cluster has the connections of a broker, and its nodes. It belongs to the loop.
type cluster struct {
	*engine
	whole  *view            // that of all nodes which are not cut off
	nodes  map[string]*node // by the host part of the address that was dialed
	conns  []*conn          // some may have ended
	dialed int
	away   bool
}

// handshakeTime is for how long RabbitMQ waits for a client to log in.
const handshakeTime = 10 * time.Second

// accept makes a connection to the node of that host.
func (b *cluster) accept(host string) *conn {
	b.dialed++
	id := b.dialed
	dice := rand.New(rand.NewPCG(b.options.Seed, uint64(id)))
	back := transit{latency: b.options.Latency, dice: dice}
	out := transit{latency: b.options.Latency, dice: rand.New(rand.NewPCG(dice.Uint64(), 1))}
	socket := &Socket{
		loop: b.loop, out: out, local: addr("client-" + strconv.Itoa(id)),
		ready: make(chan struct{}, 1),
	}
	c := &conn{
		owner: &owner{
			client: &client{transit: back, engine: b.engine, socket: socket},
			node:   b.node(host),
		},
		reply:    b.reply,
		channels: map[uint16]*channel{},
	}
	socket.arrive = c.arrive
	socket.reset = func() { c.end(NetworkReset) }
	b.conns = append(b.open(), c)
	b.after(handshakeTime, func() {
		if !c.open {
			c.end(ClientSilent)
		}
	})
	return c
}

func (b *cluster) node(host string) *node {
	n := b.nodes[host]
	if n == nil {
		n = &node{view: b.whole}
		b.nodes[host] = n
	}
	return n
}

// open are the connections that have not ended.
func (b *cluster) open() []*conn {
	b.conns = slices.DeleteFunc(b.conns, func(c *conn) bool { return c.ended })
	return slices.Clone(b.conns)
}

// reply delivers a direct reply to the channel that its key names.
func (b *cluster) reply(m *message) {
	for _, c := range b.conns {
		for _, ch := range c.channels {
			if ch.session.replyKey == m.key {
				ch.session.answered(m)
				return
			}
		}
	}
}
