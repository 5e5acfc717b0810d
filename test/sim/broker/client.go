package broker

import "time"

// send sends a method. All frames of one event arrive together.
func (c *conn) send(channel uint16, m method, arguments func(*writer)) {
	var w writer
	w.short(m[0])
	w.short(m[1])
	if arguments != nil {
		arguments(&w)
	}
	c.raw(frameMethod, channel, w.b)
}

func (c *conn) raw(kind byte, channel uint16, payload []byte) {
	w := writer{c.out}
	w.octet(kind)
	w.short(channel)
	w.long(uint32(len(payload)))
	w.b = append(w.b, payload...)
	w.octet(frameEnd)
	c.out = w.b
}

// flush has the network carry what was sent.
func (c *conn) flush() {
	if len(c.out) == 0 {
		return
	}
	sent := c.out
	c.out, c.sent = nil, true
	c.b.loop.at(c.arrival(), func() { c.socket.receive(sent, nil) })
}

// arrival is when what is sent now arrives.
func (c *conn) arrival() time.Time {
	at := time.Now().Add(c.b.options.Latency(c.dice))
	if !at.After(c.last) {
		at = c.last.Add(1)
	}
	c.last = at
	return at
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

func (c *conn) observe(k Kind, q *queue) {
	c.b.options.Observe(Event{
		Kind: k, At: time.Now(), Queue: q.name, Socket: c.socket,
	})
}
