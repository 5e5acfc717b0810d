package broker

import (
	"cmp"
	"slices"
)

func (s *session) consume(r reader) *exception {
	_ = r.short()
	name, tag, bits := cmp.Or(r.shortString(), s.declared), r.shortString(), r.octet()
	args := r.table()
	if tag == "" {
		tag = s.c.engine.name("amq.ctag-")
	}
	m := &consumer{c: s.c, tag: tag, noAck: bits&2 != 0, alone: bits&4 != 0, prefetch: s.prefetch}
	m.priority, _ = integer(args["x-priority"])
	m.deliver = func(msg *message) { s.deliver(tag, s.deliveries.add(m, msg), msg) }
	m.orphan = func() { s.orphan(m) }
	ok := func() {
		if bits&8 == 0 {
			s.send(basicConsumeOk, func(w *writer) { w.shortString(tag) })
		}
	}
	if name == replyTo {
		if !m.noAck {
			return refuse(codePreconditionFailed,
				"PRECONDITION_FAILED - reply consumer cannot acknowledge")
		}
		s.listen(tag)
		ok()
		return nil
	}
	q := s.c.node.view.find(name)
	if q == nil {
		return noQueue(name)
	}
	if e := q.lockedTo(s.c); e != nil {
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
	s.members = append(s.members, m)
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

func (s *session) cancel(r reader) {
	tag, bits := r.shortString(), r.octet()
	for i, m := range s.members {
		if m.tag == tag {
			m.gone = true
			s.members = slices.Delete(s.members, i, i+1)
			m.queue.leave(m)
			break
		}
	}
	if bits&1 == 0 {
		s.send(basicCancelOk, func(w *writer) { w.shortString(tag) })
	}
}

// noProcess is the answer about a quorum queue that has no process yet, or any more.
const noProcess = "INTERNAL_ERROR - {noproc,{gen_statem,call,...}}"

func (s *session) get(r reader) *exception {
	_ = r.short()
	name, noAck := cmp.Or(r.shortString(), s.declared), r.octet()&1 != 0
	release, view := s.c.engine.options.Release, s.c.node.view
	q := view.find(name)
	if view.isDying(name) && release != V40 {
		return internal(noProcess)
	}
	if q == nil {
		return noQueue(name)
	}
	if e := q.lockedTo(s.c); e != nil {
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
		s.c.observe(Majority, q.name)
	}
	if len(q.ready) == 0 {
		s.send(basicGetEmpty, func(w *writer) { w.shortString("") })
		return nil
	}
	m := q.take()
	if q.kind() == quorum && release == V310 {
		m = m.with("x-delivery-count", int64(0))
	}
	tag := s.deliveries.add(&consumer{queue: q, noAck: noAck}, m)
	s.send(basicGetOk, func(w *writer) {
		w.double(tag)
		w.bit(m.redelivered)
		w.shortString(m.exchange)
		w.shortString(m.key)
		w.long(uint32(len(q.ready)))
	})
	s.sendContent(m)
	return nil
}
