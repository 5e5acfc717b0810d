package broker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// message is one in a queue.
type message struct {
	exchange, key string
	properties    properties
	body          []byte
	redelivered   bool
}

// with is a copy of the message with one more header.
func (m *message) with(header string, value any) *message {
	copied := *m
	copied.properties.headers = table{header: value}
	maps.Copy(copied.properties.headers, m.properties.headers)
	return &copied
}

// consumer takes the messages of one queue to a channel.
type consumer struct {
	ch       *channel
	queue    *queue
	tag      string
	noAck    bool
	alone    bool // exclusive
	priority int64
	prefetch int
	open     int // how many are not acknowledged
	gone     bool
	next     int64 // of a stream
}

// delivery is a message that a channel has not acknowledged.
type delivery struct {
	tag      uint64
	queue    *queue
	message  *message
	consumer *consumer // nil for basic.get
}

func (ch *channel) consume(r reader) {
	_ = r.short()
	name, tag, bits := cmp.Or(r.shortString(), ch.declared), r.shortString(), r.octet()
	args := r.table()
	if tag == "" {
		tag = ch.c.b.name("amq.ctag-")
	}
	m := &consumer{ch: ch, tag: tag, noAck: bits&2 != 0, alone: bits&4 != 0, prefetch: ch.prefetch}
	m.priority, _ = integer(args["x-priority"])
	ok := func() {
		if bits&8 == 0 {
			ch.send(basicConsumeOk, func(w *writer) { w.shortString(tag) })
		}
	}
	if name == replyTo {
		if !m.noAck {
			ch.fail(codePreconditionFailed, "PRECONDITION_FAILED - reply consumer cannot acknowledge")
			return
		}
		ch.replies, ch.replyKey = m, ch.c.b.replyAddress()
		ok()
		return
	}
	q := ch.c.node.view.find(name)
	switch {
	case q == nil:
		ch.fail(codeNotFound, noQueue(name))
		return
	case !ch.mayUse(q):
		return
	case m.alone && len(q.consumers) > 0, len(q.consumers) > 0 && q.consumers[0].alone:
		ch.fail(codeAccessRefused,
			fmt.Sprintf("ACCESS_REFUSED - queue '%s' in vhost '/' in exclusive use", name))
		return
	}
	m.queue = q
	if !m.start(args) {
		return
	}
	ch.members = append(ch.members, m)
	q.join(m)
	ok()
	q.deliver()
}

func (ch *channel) cancel(r reader) {
	tag, bits := r.shortString(), r.octet()
	for i, m := range ch.members {
		if m.tag == tag {
			m.gone = true
			ch.members = slices.Delete(ch.members, i, i+1)
			m.queue.leave(m)
			break
		}
	}
	if bits&1 == 0 {
		ch.send(basicCancelOk, func(w *writer) { w.shortString(tag) })
	}
}

// join puts a consumer behind those of the same priority.
func (q *queue) join(m *consumer) {
	at := len(q.consumers)
	for at > 0 && q.consumers[at-1].priority < m.priority {
		at--
	}
	q.consumers = slices.Insert(q.consumers, at, m)
	if q.singleActor && q.active == nil {
		q.active = m
	}
	q.touch()
	q.b.options.Observe(Event{Kind: Joined, At: time.Now(), Queue: q.name, Socket: m.ch.c.socket})
}

// leave is for a consumer that is cancelled, or whose channel has ended.
func (q *queue) leave(m *consumer) {
	if q.removed {
		return
	}
	q.consumers = slices.DeleteFunc(q.consumers, func(other *consumer) bool { return other == m })
	q.touch()
	q.b.options.Observe(Event{Kind: Left, At: time.Now(), Queue: q.name, Socket: m.ch.c.socket})
	if q.active == m {
		if q.active = nil; len(q.consumers) > 0 {
			q.active = q.consumers[0]
		}
	}
	if q.autoDelete && len(q.consumers) == 0 {
		q.remove(Deleted)
		return
	}
	q.deliver()
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

// add puts a message into the queue.
func (q *queue) add(m *message) {
	if q.log != nil {
		q.log.append(m)
		q.deliver()
		return
	}
	q.ready = append(q.ready, m)
	q.deliver()
	q.expire(m)
	q.shorten()
}

// shorten drops the oldest of too many.
func (q *queue) shorten() {
	for q.maxLength >= 0 && len(q.ready) > q.maxLength {
		q.bury(q.take(), "maxlen")
	}
}

// expire ends the life of a message that is not delivered in time.
func (q *queue) expire(m *message) {
	ttl := q.ttl
	if own, err := strconv.Atoi(m.properties.expiration); err == nil {
		if own := time.Duration(own) * time.Millisecond; ttl < 0 || own < ttl {
			ttl = own
		}
	}
	if ttl < 0 {
		return
	}
	end := func() {
		i := slices.Index(q.ready, m)
		if i < 0 || q.removed {
			return
		}
		q.ready = slices.Delete(q.ready, i, i+1)
		q.bury(m, "expired")
	}
	if ttl == 0 {
		end()
		return
	}
	q.b.after(ttl, end)
}

// bury sends a message to where dead letters go.
func (q *queue) bury(m *message, reason string) {
	if !q.deadLetter || q.removed {
		return
	}
	dead := *m
	dead.redelivered = false
	dead.properties.expiration = ""
	dead.properties.headers = q.deathNote(m, reason)
	dead.exchange, dead.key = "", m.key
	if q.deadKey != "" {
		dead.key = q.deadKey
	}
	if to := q.view.find(dead.key); to != nil {
		to.add(&dead)
	}
}

// deathNote is what the headers of a dead letter say.
func (q *queue) deathNote(m *message, reason string) table {
	headers := table{}
	maps.Copy(headers, m.properties.headers)
	count := int64(1)
	var others array
	before, _ := headers["x-death"].(array)
	for _, d := range before {
		death, _ := d.(table)
		if n, ok := integer(death["count"]); ok && death["queue"] == q.name && death["reason"] == reason {
			count += n
		} else {
			others = append(others, d)
		}
	}
	headers["x-death"] = append(array{table{
		"reason": reason, "queue": q.name, "exchange": m.exchange, "count": count,
		"time": time.Now(), "routing-keys": array{m.key},
	}}, others...)
	which := []string{"last"}
	if q.b.options.Release == V310 {
		which = nil
	}
	if before == nil {
		which = append(which, "first")
	}
	for _, w := range which {
		headers["x-"+w+"-death-queue"] = q.name
		headers["x-"+w+"-death-reason"] = reason
		headers["x-"+w+"-death-exchange"] = m.exchange
	}
	return headers
}

// take removes the first message.
func (q *queue) take() *message {
	m := q.ready[0]
	q.ready = q.ready[1:]
	return m
}

// deliver sends what the consumers have room for.
func (q *queue) deliver() {
	if q.log != nil {
		for _, m := range q.consumers {
			m.follow()
		}
		return
	}
	for len(q.ready) > 0 && !q.removed {
		m := q.willing()
		if m == nil {
			return
		}
		q.give(m, q.take())
	}
}

// willing is the consumer whose turn it is, or nil.
func (q *queue) willing() *consumer {
	if q.singleActor {
		if q.active != nil && q.active.hasRoom() {
			return q.active
		}
		return nil
	}
	for i, m := range q.consumers {
		if m.hasRoom() { // it goes behind its equals
			rest := q.consumers[i+1:]
			n := 0
			for n < len(rest) && rest[n].priority == m.priority {
				n++
			}
			copy(q.consumers[i:], rest[:n])
			q.consumers[i+n] = m
			return m
		}
	}
	return nil
}

func (m *consumer) hasRoom() bool {
	return !m.gone && (m.noAck || m.prefetch == 0 || m.open < m.prefetch)
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

// hand notes a delivery, and returns its tag.
func (ch *channel) hand(q *queue, msg *message, m *consumer, noAck bool) uint64 {
	ch.delivery++
	if !noAck {
		ch.unacked = append(ch.unacked, &delivery{ch.delivery, q, msg, m})
		if m != nil {
			m.open++
		}
	}
	return ch.delivery
}

// sendContent sends the header and the body of a message.
func (ch *channel) sendContent(m *message) {
	ch.c.raw(frameHeader, ch.number, m.properties.header(len(m.body)))
	if len(m.body) > 0 {
		ch.c.raw(frameBody, ch.number, m.body)
	}
}
