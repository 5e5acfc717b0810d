package broker

import (
	"cmp"
	"encoding/base64"
	"slices"
)

// consumers are those of a channel, with what the channel was given.
type consumers struct {
	*outlet
	prefetch   int
	members    []*consumer
	deliveries deliveries
	replyTag   string // of its consumer of direct replies
	replyKey   string // "" where it has none
}

func (cs *consumers) consume(r reader, declared string) *exception {
	_ = r.short()
	name, tag, bits := cmp.Or(r.shortString(), declared), r.shortString(), r.octet()
	args := r.table()
	if tag == "" {
		tag = cs.c.engine.name("amq.ctag-")
	}
	m := &consumer{c: cs.c, tag: tag, noAck: bits&2 != 0, alone: bits&4 != 0, prefetch: cs.prefetch}
	m.priority, _ = integer(args["x-priority"])
	m.deliver = func(msg *message) { cs.deliver(tag, cs.deliveries.add(m, msg), msg) }
	m.orphan = func() { cs.orphan(m) }
	ok := func() {
		if bits&8 == 0 {
			cs.send(basicConsumeOk, func(w *writer) { w.shortString(tag) })
		}
	}
	if name == replyTo {
		if !m.noAck {
			return refuse(codePreconditionFailed,
				"PRECONDITION_FAILED - reply consumer cannot acknowledge")
		}
		cs.listen(tag)
		ok()
		return nil
	}
	q := cs.c.node.view.find(name)
	if q == nil {
		return noQueue(name)
	}
	if e := q.lockedTo(cs.c); e != nil {
		return e
	}
	if len(q.consumers) > 0 && (m.alone || q.consumers[0].alone) {
		return refuse(codeAccessRefused,
			"ACCESS_REFUSED - queue '%s' in vhost '/' in exclusive use", name)
	}
	m.queue = q
	if e := m.start(args); e != nil {
		return e
	}
	cs.members = append(cs.members, m)
	q.join(m)
	ok()
	q.deliver()
	return nil
}

// start finds out where a consumer of a stream begins to read.
func (m *consumer) start(args table) *exception {
	q, release := m.queue, m.c.engine.options.Release
	offset, given := args["x-stream-offset"]
	about := "queue '" + q.name + "' in vhost '/'"
	invalid := "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for " + about
	switch {
	case q.log == nil && given:
		return refuse(codePreconditionFailed, "%s of queue type rabbit_%s_queue", invalid, q.kind())
	case q.log == nil:
		return nil
	case m.prefetch == 0 && release == V310:
		return refuse(codePreconditionFailed,
			"PRECONDITION_FAILED - consumer prefetch count is not set for '%s'", about)
	case m.prefetch == 0:
		return refuse(codePreconditionFailed,
			"PRECONDITION_FAILED - consumer prefetch count is not set for stream %s", about)
	case m.noAck && release == V310:
		return refuseAll(codeNotImplemented,
			"NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues %s", about)
	case m.noAck:
		return refuseAll(codeNotImplemented,
			"NOT_IMPLEMENTED - automatic acknowledgement not supported by stream %s", about)
	}
	if e := m.c.node.readers; e != nil {
		return e
	}
	var ok bool
	if m.next, ok = q.log.start(offset); ok {
		return nil
	}
	if release == V43 {
		return refuse(codePreconditionFailed,
			"%s: {invalid_stream_offset_arg,{longstr,<<\"%v\">>}}", invalid, offset)
	}
	return internal("INTERNAL_ERROR")
}

func (cs *consumers) cancel(r reader) {
	tag, bits := r.shortString(), r.octet()
	for i, m := range cs.members {
		if m.tag == tag {
			m.gone = true
			cs.members = slices.Delete(cs.members, i, i+1)
			m.queue.leave(m)
			break
		}
	}
	if bits&1 == 0 {
		cs.send(basicCancelOk, func(w *writer) { w.shortString(tag) })
	}
}

// noProcess is the answer about a quorum queue that has no process yet, or any more.
const noProcess = "INTERNAL_ERROR - {noproc,{gen_statem,call,...}}"

func (cs *consumers) get(r reader, declared string) *exception {
	_ = r.short()
	name, noAck := cmp.Or(r.shortString(), declared), r.octet()&1 != 0
	release, view := cs.c.engine.options.Release, cs.c.node.view
	q := view.find(name)
	if view.isDying(name) && release != V40 {
		return internal(noProcess)
	}
	if q == nil {
		return noQueue(name)
	}
	if e := q.lockedTo(cs.c); e != nil {
		return e
	}
	switch {
	case q.kind() == stream:
		return refuseAll(codeNotImplemented, "NOT_IMPLEMENTED - basic.get not supported by stream "+
			"queues queue '%s' in vhost '/'", name)
	case q.kind() == quorum && q.down():
		return internal(noProcess)
	}
	q.touch()
	if q.kind() == quorum {
		cs.c.observe(Majority, q.name)
	}
	if len(q.ready) == 0 {
		cs.send(basicGetEmpty, func(w *writer) { w.shortString("") })
		return nil
	}
	m := q.take()
	if q.kind() == quorum && release == V310 {
		m = m.with("x-delivery-count", int64(0))
	}
	tag := cs.deliveries.add(&consumer{queue: q, noAck: noAck}, m)
	cs.send(basicGetOk, func(w *writer) {
		w.double(tag)
		w.bit(m.redelivered)
		w.shortString(m.exchange)
		w.shortString(m.key)
		w.long(uint32(len(q.ready)))
	})
	cs.sendContent(m)
	return nil
}

// listen makes the address of direct replies, for a consumer with that tag.
func (cs *consumers) listen(tag string) {
	// It names a process in Erlang's external term format. The name of its node has a hash.
	const process = "\x83\x58\x77\x07reply@1\x00\x00\x01\x02\x00\x00\x00\x00\x5f\x00\x00\x01"
	encode := base64.StdEncoding.EncodeToString
	key := cs.c.engine.name("key-")
	cs.replyTag, cs.replyKey = tag, replyTo+"."+encode([]byte(process))+"."+encode([]byte(key))
}

// answered delivers a direct reply.
func (cs *consumers) answered(m *message) {
	tag := uint64(1)
	if cs.c.engine.options.Release == V43 {
		cs.deliveries.newest++
		tag = cs.deliveries.newest
	}
	cs.deliver(cs.replyTag, tag, m)
}

// deliver sends a message to one of its consumers.
func (cs *consumers) deliver(consumer string, tag uint64, m *message) {
	cs.send(basicDeliver, func(w *writer) {
		w.shortString(consumer)
		w.double(tag)
		w.bit(m.redelivered)
		w.shortString(m.exchange)
		w.shortString(m.key)
	})
	cs.sendContent(m)
	cs.c.flush()
}

// orphan is for a consumer whose queue is gone.
func (cs *consumers) orphan(m *consumer) {
	cs.members = slices.DeleteFunc(cs.members, func(other *consumer) bool { return other == m })
	cs.deliveries.forget(m)
	if cs.c.notices && !cs.ended && !cs.c.closing {
		cs.send(basicCancel, func(w *writer) {
			w.shortString(m.tag)
			w.octet(1)
		})
		cs.c.flush()
	}
}

// leave has all of them leave, and gives back what was not acknowledged.
func (cs *consumers) leave() {
	for _, m := range cs.members {
		m.gone = true
	}
	touched := cs.deliveries.giveBack()
	members := cs.members
	cs.members, cs.replyKey = nil, ""
	for _, m := range members {
		m.queue.leave(m)
	}
	for _, q := range touched {
		q.deliver()
	}
}
