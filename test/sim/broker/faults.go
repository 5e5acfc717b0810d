package broker

import "time"

// Alarm begins an alarm of memory or disk, or ends it with "".
func (b *Broker) Alarm(reason string) {
	b.loop.do(func() {
		b.alarm = reason
		for _, c := range b.open() {
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
		for _, c := range b.open() {
			if orderly {
				c.shut(&exception{
					code: codeConnectionForced, blameless: true,
					text: "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
				})
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
		for _, resume := range parked {
			resume()
		}
	})
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

// QuorumDelay is how long it takes to make a quorum queue, or to delete one everywhere.
// Others see the one that is being made, and get 541 for basic.get. The one that is being
// deleted answers with 541 to basic.get, and with 4.0 to a message.
func (b *Broker) QuorumDelay(d time.Duration) { b.loop.do(func() { b.quorumDelay = d }) }

// RefuseReaders has a node serve nobody who reads a stream. Either it has no replica
// (406), or it does not see its cluster, and ends the connection (541).
func (b *Broker) RefuseReaders(host string, without bool) {
	b.loop.do(func() {
		b.node(host).readers = internal("INTERNAL_ERROR")
		if without {
			b.node(host).readers = refuse(codePreconditionFailed, "PRECONDITION_FAILED - stream in "+
				"vhost '/' does not have a running replica on the local node")
		}
	})
}

// ServeReaders ends RefuseReaders.
func (b *Broker) ServeReaders(host string) {
	b.loop.do(func() { b.node(host).readers = nil })
}

// Split cuts hosts off from the others. Each side goes on with what it believes. After
// notice the others delete the exclusive queues of the hosts, except with 4.3. Requests
// that need a majority stall at the hosts.
func (b *Broker) Split(hosts []string, notice time.Duration) {
	b.loop.do(func() {
		aside := b.whole.fork()
		aside.cutOff = true
		for _, host := range hosts {
			n := b.node(host)
			n.view, n.stalled = aside, true
		}
		cut := func(c *owner) bool { return c.node.view == aside }
		for _, c := range b.conns {
			if cut(c.owner) {
				for i, q := range c.locks {
					c.locks[i] = aside.queues[q.name]
				}
			}
		}
		aside.keep(cut)
		if b.options.Release == V43 {
			return
		}
		b.after(notice, func() { b.whole.forget(func(c *owner) bool { return !cut(c) }) })
	})
}

// Heal ends a split: the nodes that were cut off start anew.
func (b *Broker) Heal() {
	b.loop.do(func() {
		for _, c := range b.open() {
			if c.node.view != b.whole {
				c.end(BrokerKilled)
			}
		}
		b.whole.forget(func(c *owner) bool { return !c.ended })
		for _, n := range b.nodes {
			n.view, n.stalled = b.whole, false
		}
	})
}
