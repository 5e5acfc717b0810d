package broker

// session is what a client has on a channel. Its methods have the effects of requests,
// and answer.
type session struct {
	*outlet
	publisher
	consumers
	declared string // the queue that an empty name means
}

func newSession(c *owner, number uint16, reply func(*message)) *session {
	o := &outlet{c: c, number: number}
	return &session{
		outlet: o, publisher: publisher{outlet: o, reply: reply}, consumers: consumers{outlet: o},
	}
}

// end has its consumers leave, and gives back what was not acknowledged.
func (s *session) end() {
	if !s.ended {
		s.ended = true
		s.leave()
	}
}
