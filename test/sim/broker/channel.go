package broker

import "time"

// channel is one of a connection. Its requests are handled one after the other; those of
// other channels may overtake them.
type channel struct {
	c      *conn
	number uint16

	closing bool // we have closed it: what comes before the client agrees is ignored
	dropped bool

	busy    bool // with the first request of waiting
	waiting []request

	declared string      // the queue that an empty name means
	content  *publishing // whose header or body is to come
	confirms bool
	tag      uint64 // of the newest message published
	delivery uint64 // of the newest message delivered
	prefetch int
	unacked  []*delivery
	replies  *consumer // of direct replies
	replyKey string
	members  []*consumer
}

func newChannel(c *conn, number uint16) *channel { return &channel{c: c, number: number} }

func (ch *channel) frame(kind byte, payload []byte) {
	if kind == frameMethod && isMethod(payload, channelCloseOk) {
		ch.drop()
		delete(ch.c.channels, ch.number)
		return
	}
	if ch.closing && (kind != frameMethod || !isMethod(payload, channelClose)) {
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
		ch.c.publishes()
	case frameBody:
		ch.content.body = append(ch.content.body, payload...)
		ch.published()
	}
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
	for len(ch.waiting) > 0 && !ch.busy && !ch.dropped {
		r := ch.waiting[0]
		if ch.stalls(r) {
			ch.busy = true
			ch.c.b.parked = append(ch.c.b.parked, ch)
			return
		}
		if !paid {
			if cost := ch.cost(r); cost > 0 {
				ch.busy = true
				ch.c.b.after(cost, func() { ch.resume(true) })
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
	if ch.dropped {
		return
	}
	ch.busy = false
	ch.next(paid)
	ch.c.flush()
}

// cost is how long the request takes.
func (ch *channel) cost(r request) time.Duration {
	return ch.c.b.options.Cost(ch.c.dice, names[r.method], ch.target(r))
}

// fail closes the channel. From 4.0 on RabbitMQ fails itself where it has to cut a text
// with characters of several bytes.
func (ch *channel) fail(code uint16, text string) {
	if ch.c.b.options.Release != V310 && len(text) > maxText && !isASCII(text) {
		ch.c.fault("INTERNAL_ERROR")
		return
	}
	ch.drop()
	ch.dropped = false // what comes is still ignored until the client agrees
	ch.closing = true
	ch.send(channelClose, func(w *writer) {
		w.short(code)
		w.shortString(cut(text))
		w.short(ch.c.current[0])
		w.short(ch.c.current[1])
	})
}

// drop ends the channel: its consumers leave, and what was not acknowledged goes back.
func (ch *channel) drop() {
	if ch.dropped {
		return
	}
	ch.dropped, ch.waiting, ch.busy = true, nil, false
	for _, m := range ch.members {
		m.gone = true
	}
	touched := ch.requeueAll()
	members := ch.members
	ch.members, ch.replies = nil, nil
	for _, m := range members {
		m.queue.leave(m)
	}
	for _, q := range touched {
		q.deliver()
	}
}

func (ch *channel) send(m method, arguments func(*writer)) {
	ch.c.send(ch.number, m, arguments)
}

func isMethod(payload []byte, m method) bool {
	r := reader{payload}
	return (method{r.short(), r.short()}) == m
}
