package broker

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

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

// start finds out where a consumer begins to read, or refuses it.
func (m *consumer) start(args table) bool {
	ch, q, old := m.ch, m.queue, m.ch.c.b.options.Release == V310
	offset, given := args["x-stream-offset"]
	about := fmt.Sprintf("queue '%s' in vhost '/'", q.name)
	invalid := "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for " + about
	switch {
	case q.log == nil && given:
		ch.fail(codePreconditionFailed, fmt.Sprintf("%s of queue type rabbit_%s_queue", invalid, q.kind))
		return false
	case q.log == nil:
		return true
	case m.prefetch == 0 && old:
		ch.fail(codePreconditionFailed,
			"PRECONDITION_FAILED - consumer prefetch count is not set for '"+about+"'")
		return false
	case m.prefetch == 0:
		ch.fail(codePreconditionFailed,
			"PRECONDITION_FAILED - consumer prefetch count is not set for stream "+about)
		return false
	case m.noAck && old:
		ch.c.fail(codeNotImplemented,
			"NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues "+about)
		return false
	case m.noAck:
		ch.c.fail(codeNotImplemented,
			"NOT_IMPLEMENTED - automatic acknowledgement not supported by stream "+about)
		return false
	}
	number, isNumber := integer(offset)
	switch _, isTime := offset.(time.Time); {
	case isNumber:
		m.next = number
	case offset == "first", isTime:
	case offset == "last":
		m.next = int64(q.log.chunk)
	case offset == "next", !given:
		m.next = int64(len(q.log.messages))
	case ch.c.b.options.Release == V43:
		ch.fail(codePreconditionFailed, fmt.Sprintf(
			"%s: {invalid_stream_offset_arg,{longstr,<<\"%v\">>}}", invalid, offset))
		return false
	default:
		ch.c.fault("INTERNAL_ERROR")
		return false
	}
	return true
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

// noProcess is the answer about a quorum queue that has no process yet, or any more.
const noProcess = "INTERNAL_ERROR - {noproc,{gen_statem,call,...}}"

func (ch *channel) get(r reader) {
	_ = r.short()
	name, noAck := cmp.Or(r.shortString(), ch.declared), r.octet()&1 != 0
	c := ch.c
	q := c.node.view.find(name)
	switch {
	case c.node.view.isDying(name) && c.b.options.Release != V40:
		c.fault(noProcess)
		return
	case q == nil:
		ch.fail(codeNotFound, noQueue(name))
		return
	case !ch.mayUse(q):
		return
	case q.kind == stream:
		c.fail(codeNotImplemented, "NOT_IMPLEMENTED - basic.get not supported by stream queues "+
			"queue '"+name+"' in vhost '/'")
		return
	case q.kind == quorum && q.down():
		c.fault(noProcess)
		return
	}
	q.touch()
	if q.kind == quorum {
		c.observe(Majority, q)
	}
	if len(q.ready) == 0 {
		ch.send(basicGetEmpty, func(w *writer) { w.shortString("") })
		return
	}
	m := q.take()
	if q.kind == quorum && c.b.options.Release == V310 {
		m = m.with("x-delivery-count", int64(0))
	}
	tag := ch.hand(q, m, nil, noAck)
	ch.send(basicGetOk, func(w *writer) {
		w.double(tag)
		w.bit(m.redelivered)
		w.shortString(m.exchange)
		w.shortString(m.key)
		w.long(uint32(len(q.ready)))
	})
	ch.sendContent(m)
}
