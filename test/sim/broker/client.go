package broker

// client is the broker's end of a connection, as far as channels and queues know it. It
// belongs to the loop.
type client struct {
	transit
	engine *engine
	socket *Socket

	user    string
	notices bool   // it wants them, of consumers that the broker cancels
	current method // that is being handled
	closing bool   // one side has sent connection.close
	ended   bool
	why     Ending

	out  []byte
	sent bool // something, since the last heartbeat was due

	published bool
	blocking  bool // an alarm: the next publish blocks
	blocked   bool // nothing is read
}

// send sends a method. All frames of one event arrive together.
func (c *client) send(channel uint16, m method, arguments func(*writer)) {
	var w writer
	w.short(m[0])
	w.short(m[1])
	if arguments != nil {
		arguments(&w)
	}
	c.raw(frameMethod, channel, w.b)
}

func (c *client) raw(kind byte, channel uint16, payload []byte) {
	w := writer{c.out}
	w.octet(kind)
	w.short(channel)
	w.long(uint32(len(payload)))
	w.b = append(w.b, payload...)
	w.octet(frameEnd)
	c.out = w.b
}

// flush has the network carry what was sent.
func (c *client) flush() {
	if len(c.out) == 0 {
		return
	}
	sent := c.out
	c.out, c.sent = nil, true
	c.engine.loop.at(c.arrival(), func() { c.socket.receive(sent, nil) })
}

// publishes is called with the header of each message. In an alarm the broker reads the
// first and nothing more: no body.
func (c *client) publishes() {
	if !c.published {
		c.published = true
		c.observe(Published, "")
	}
	if c.blocking && !c.blocked {
		c.blocked = true
		c.send(0, connectionBlocked, func(w *writer) { w.shortString("low on " + c.engine.alarm) })
	}
}

func (c *client) observe(k Kind, queue string) {
	c.engine.observe(Event{Kind: k, Queue: queue, Socket: c.socket})
}
