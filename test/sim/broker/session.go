package broker

import "slices"

// sendContent sends the header and the body of a message.
func (ch *channel) sendContent(m *message) {
	ch.c.raw(frameHeader, ch.number, m.properties.header(len(m.body)))
	if len(m.body) > 0 {
		ch.c.raw(frameBody, ch.number, m.body)
	}
}

func (q *queue) give(m *consumer, msg *message) {
	tag := m.ch.hand(q, msg, m, m.noAck)
	m.ch.send(basicDeliver, func(w *writer) {
		w.shortString(m.tag)
		w.double(tag)
		w.bit(msg.redelivered)
		w.shortString(msg.exchange)
		w.shortString(msg.key)
	})
	m.ch.sendContent(msg)
	m.ch.c.flush()
}

// orphan is for a consumer whose queue is gone.
func (m *consumer) orphan() {
	ch := m.ch
	m.gone = true
	ch.members = slices.DeleteFunc(ch.members, func(other *consumer) bool { return other == m })
	ch.unacked = slices.DeleteFunc(ch.unacked, func(d *delivery) bool { return d.consumer == m })
	if ch.c.notices && !ch.dropped && !ch.closing && !ch.c.closing {
		ch.send(basicCancel, func(w *writer) {
			w.shortString(m.tag)
			w.octet(1)
		})
		ch.c.flush()
	}
}
