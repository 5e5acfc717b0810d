package broker

// channel is one of a connection. Its requests are handled one after the other; those of
// other channels may overtake them.
type channel struct {
	session *session
	refuse  func(*exception) // closes the connection
	closed  func()           // the client may open the number again

	closing bool // we have closed it: what comes before the client agrees is ignored
	busy    bool // with the first request of waiting, or after one
	waiting []request
	content *publishing // whose header or body is to come
}

func (ch *channel) frame(kind byte, payload []byte) {
	if kind == frameMethod && isMethod(payload, channelCloseOk) {
		ch.session.end()
		ch.closed()
		return
	}
	if ch.closing {
		if kind == frameMethod && isMethod(payload, channelClose) {
			ch.handle(request{method: channelClose})
		}
		return
	}
	switch kind {
	case frameMethod:
		r := reader{payload}
		m := method{r.short(), r.short()}
		if m == basicPublish {
			ch.content = readPublish(r)
			return
		}
		r.b = append([]byte(nil), r.b...)
		ch.enqueue(request{method: m, args: r})
	case frameHeader:
		size, p := readHeader(payload)
		ch.content.properties, ch.content.size, ch.content.headed = p, int(size), true
		ch.published()
		ch.session.c.publishes()
	case frameBody:
		ch.content.body = append(ch.content.body, payload...)
		ch.published()
	}
}

func isMethod(payload []byte, m method) bool {
	r := reader{payload}
	return (method{r.short(), r.short()}) == m
}

// published is called with each frame of content.
func (ch *channel) published() {
	if !ch.content.headed || len(ch.content.body) < ch.content.size {
		return
	}
	ch.enqueue(request{method: basicPublish, message: ch.content})
	ch.content = nil
}

// enqueue handles a request when those before it have been handled.
func (ch *channel) enqueue(r request) {
	ch.waiting = append(ch.waiting, r)
	if !ch.busy {
		ch.next(false)
	}
}

// next begins with the requests that wait; paid says that the cost of the first is paid.
func (ch *channel) next(paid bool) {
	s := ch.session
	for len(ch.waiting) > 0 && !ch.busy && !s.ended {
		r := ch.waiting[0]
		if s.stalls(r) {
			ch.busy = true
			s.c.engine.parked = append(s.c.engine.parked, func() { ch.resume(false) })
			return
		}
		if !paid {
			cost := s.c.engine.options.Cost(s.c.dice, names[r.method], r.target())
			if cost > 0 {
				ch.busy = true
				s.c.engine.after(cost, func() { ch.resume(true) })
				return
			}
		}
		paid = false
		ch.waiting = ch.waiting[1:]
		ch.handle(r)
	}
}

// resume goes on after a pause.
func (ch *channel) resume(paid bool) {
	if ch.session.ended {
		return
	}
	ch.busy = false
	ch.next(paid)
	ch.session.c.flush()
}

func (ch *channel) handle(r request) {
	s := ch.session
	s.c.current = r.method
	switch r.method {
	case channelOpen:
		s.send(channelOpenOk, func(w *writer) { w.longString("") })
	case channelClose:
		s.end()
		ch.closed()
		s.send(channelCloseOk, nil)
	default:
		busy, e := s.handle(r)
		if e != nil {
			ch.fail(e)
		}
		if busy > 0 {
			ch.busy = true
			s.c.engine.after(busy, func() { ch.resume(false) })
		}
	}
}

// fail closes the channel or the connection.
func (ch *channel) fail(e *exception) {
	s := ch.session
	if e.breaks(s.c.engine.options.Release) {
		e = internal("INTERNAL_ERROR")
	}
	if e.hard {
		ch.refuse(e)
		return
	}
	s.end()
	ch.closing = true
	s.send(channelClose, func(w *writer) {
		w.short(e.code)
		w.shortString(e.cut())
		w.short(s.c.current[0])
		w.short(s.c.current[1])
	})
}
