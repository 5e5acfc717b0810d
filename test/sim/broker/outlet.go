package broker

// outlet sends to the client on one channel.
type outlet struct {
	c      *owner
	number uint16
	ended  bool // nothing more is sent
}

func (o *outlet) send(m method, arguments func(*writer)) { o.c.send(o.number, m, arguments) }

// sendContent sends the header and the body of a message.
func (o *outlet) sendContent(m *message) {
	o.c.raw(frameHeader, o.number, m.properties.header(len(m.body)))
	if len(m.body) > 0 {
		o.c.raw(frameBody, o.number, m.body)
	}
}
