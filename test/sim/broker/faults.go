package broker

import (
	"slices"
	"time"
)

// Kind is that of an Event.
type Kind string

// The kinds of events.
const (
	Granted   Kind = "granted"   // an exclusive queue was declared
	Freed     Kind = "freed"     // it is gone
	Answer    Kind = "answer"    // its owner has heard that it has it
	Majority  Kind = "majority"  // basic.get on a quorum queue was answered well
	Joined    Kind = "joined"    // a consumer
	Left      Kind = "left"      // a consumer
	Published Kind = "published" // a connection has published for the first time
	Refused   Kind = "refused"   // a whole connection, with the reason in Text
)

// Ending is how a connection has ended.
type Ending string

// The endings.
const (
	ClientClosed Ending = "closed by the client"
	ClientGone   Ending = "the socket was closed"
	NetworkReset Ending = "reset"
	BrokerClosed Ending = "closed by the broker"
	BrokerKilled Ending = "the broker was killed"
	ClientSilent Ending = "silent"
)

// Event is what the broker has done with a queue.
type Event struct {
	Kind   Kind
	At     time.Time
	Queue  string
	Socket *Socket // of the client
	Why    Reason  // it is gone
	How    Ending  // its connection has ended, if it has
	Text   string
}

func (c *conn) observe(k Kind, q *queue) {
	c.b.options.Observe(Event{
		Kind: k, At: time.Now(), Queue: q.name, Socket: c.socket,
	})
}

// publishes is called with the header of each message from a client. In an alarm the
// broker reads the first and nothing more: no body.
func (c *conn) publishes() {
	if !c.published {
		c.published = true
		c.b.options.Observe(Event{Kind: Published, At: time.Now(), Socket: c.socket})
	}
	if c.blocking && !c.blocked {
		c.blocked = true
		c.send(0, connectionBlocked, func(w *writer) { w.shortString("low on " + c.b.alarm) })
	}
}

// Alarm begins an alarm of memory or disk, or ends it with "".
func (b *Broker) Alarm(reason string) {
	b.loop.do(func() {
		b.alarm = reason
		for _, c := range slices.Clone(b.conns) {
			c.blocking = c.open && reason != ""
			if c.blocked && reason == "" {
				c.blocked = false
				c.send(0, connectionUnblocked, nil)
				c.read()
			}
		}
	})
}

// Away has the broker take no connections, as one that is restarted.
func (b *Broker) Away(away bool) { b.loop.do(func() { b.away = away }) }

// CloseAll ends all connections: with a reason, or as a broker that was killed.
func (b *Broker) CloseAll(orderly bool) {
	b.loop.do(func() {
		for _, c := range slices.Clone(b.conns) {
			if orderly {
				c.shut(codeConnectionForced, "CONNECTION_FORCED - broker forced connection closure "+
					"with reason 'shutdown'")
			} else {
				c.end(BrokerKilled)
			}
		}
		if !orderly { // what is not persistent is gone
			for _, q := range b.whole.queues {
				q.ready = nil
			}
		}
	})
}

// Stall has a node answer nothing that needs a majority, until it ends that.
func (b *Broker) Stall(host string, stalled bool) {
	b.loop.do(func() {
		b.node(host).stalled = stalled
		if stalled {
			return
		}
		parked := b.parked
		b.parked = nil
		for _, ch := range parked {
			ch.resume(false)
		}
	})
}

// stalls reports whether a request waits for a majority that there is not.
func (ch *channel) stalls(r request) bool {
	if !ch.c.node.stalled {
		return false
	}
	switch r.method {
	case basicGet:
		q := ch.c.node.view.queues[ch.target(r)]
		return q != nil && q.kind == quorum
	case queueDeclare:
		d := readDeclaration(r.args)
		kind, isNew := d.args["x-queue-type"], ch.c.node.view.queues[d.name] == nil
		return !d.passive && (kind == string(quorum) ||
			isNew && (kind == string(stream) || ch.c.b.options.Release == V43))
	case queueDelete:
		return ch.c.b.options.Release == V43
	}
	return false
}

// Vanish has the broker lose an exclusive queue, without a word.
func (b *Broker) Vanish(queue string) {
	b.loop.do(func() {
		if q := b.whole.queues[queue]; q != nil && q.owner != nil {
			q.remove(Vanished)
		}
	})
}

// DeleteByName makes the defect https://github.com/rabbitmq/rabbitmq-server/pull/15276 as
// likely as that, except with 4.3. The connection of a claim is reset before the answer.
// Some time later the broker deletes the queue of that name, whosever it is by then.
func (b *Broker) DeleteByName(chance float64, late time.Duration) {
	b.loop.do(func() { b.chance, b.late = chance, late })
}

// mayDie is called when a claim has been granted.
func (c *conn) mayDie(q *queue) {
	b := c.b
	if b.options.Release == V43 || b.chance == 0 || c.dice.Float64() >= b.chance {
		return
	}
	c.socket.Reset()
	b.after(time.Duration(c.dice.Int64N(int64(b.late)+1)), func() {
		if q := c.node.view.queues[q.name]; q != nil && q.owner != nil {
			q.remove(ByName)
		}
	})
}

// QuorumDelay is how long it takes to make a quorum queue, or to delete one everywhere.
// Others see the one that is being made, and get 541 for basic.get. The one that is being
// deleted answers with 541 to basic.get, and with 4.0 to a message.
func (b *Broker) QuorumDelay(d time.Duration) { b.loop.do(func() { b.quorumDelay = d }) }

// Split cuts hosts off from the others. Each side goes on with what it believes. After
// notice the others delete the exclusive queues of the hosts, except with 4.3. Requests
// that need a majority stall at the hosts.
func (b *Broker) Split(hosts []string, notice time.Duration) {
	b.loop.do(func() {
		aside := b.whole.fork()
		for _, host := range hosts {
			n := b.node(host)
			n.view, n.stalled = aside, true
		}
		cut := func(c *conn) bool { return c.node.view == aside }
		for _, c := range b.conns {
			if cut(c) {
				for i, q := range c.locks {
					c.locks[i] = aside.queues[q.name]
				}
			}
		}
		aside.keep(cut)
		if b.options.Release == V43 {
			return
		}
		b.after(notice, func() { b.whole.forget(func(c *conn) bool { return !cut(c) }) })
	})
}

// Heal ends a split: the nodes that were cut off start anew.
func (b *Broker) Heal() {
	b.loop.do(func() {
		for _, c := range slices.Clone(b.conns) {
			if c.node.view != b.whole {
				c.end(BrokerKilled)
			}
		}
		b.whole.forget(func(c *conn) bool { return !c.ended })
		for _, n := range b.nodes {
			n.view, n.stalled = b.whole, false
		}
	})
}

// MakeQuorum makes durable quorum queues that keep no message, as a slot is.
func (b *Broker) MakeQuorum(names ...string) {
	b.loop.do(func() {
		for _, name := range names {
			b.whole.queues[name] = newQueue(b.whole, b, declaration{
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
		conns = len(b.conns)
	})
	return queues, conns
}

// Content is a queue.
type Content struct {
	Name      string
	Exclusive bool
	Consumers int
}
