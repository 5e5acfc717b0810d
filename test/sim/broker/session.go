package broker

import "slices"

// session is what a client has on a channel. Its methods have the effects of requests,
// and answer.
type session struct {
	c      *owner
	number uint16
	reply  func(*message) // delivers a direct reply to the channel that its key names
	ended  bool

	declared string // the queue that an empty name means
	confirms bool
	newest   uint64 // tag of a message published

	prefetch   int
	members    []*consumer
	deliveries deliveries
	replyTag   string // of its consumer of direct replies
	replyKey   string // "" where it has none
}

func (s *session) send(m method, arguments func(*writer)) { s.c.send(s.number, m, arguments) }

// sendContent sends the header and the body of a message.
func (s *session) sendContent(m *message) {
	s.c.raw(frameHeader, s.number, m.properties.header(len(m.body)))
	if len(m.body) > 0 {
		s.c.raw(frameBody, s.number, m.body)
	}
}

// deliver sends a message to one of its consumers.
func (s *session) deliver(consumer string, tag uint64, m *message) {
	s.send(basicDeliver, func(w *writer) {
		w.shortString(consumer)
		w.double(tag)
		w.bit(m.redelivered)
		w.shortString(m.exchange)
		w.shortString(m.key)
	})
	s.sendContent(m)
	s.c.flush()
}

// end has its consumers leave, and gives back what was not acknowledged.
func (s *session) end() {
	if s.ended {
		return
	}
	s.ended = true
	for _, m := range s.members {
		m.gone = true
	}
	touched := s.deliveries.giveBack()
	members := s.members
	s.members, s.replyKey = nil, ""
	for _, m := range members {
		m.queue.leave(m)
	}
	for _, q := range touched {
		q.deliver()
	}
}

// orphan is for a consumer whose queue is gone.
func (s *session) orphan(m *consumer) {
	s.members = slices.DeleteFunc(s.members, func(other *consumer) bool { return other == m })
	s.deliveries.forget(m)
	if s.c.notices && !s.ended && !s.c.closing {
		s.send(basicCancel, func(w *writer) {
			w.shortString(m.tag)
			w.octet(1)
		})
		s.c.flush()
	}
}
