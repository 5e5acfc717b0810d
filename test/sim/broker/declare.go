package broker

import (
	"strings"
	"time"
)

// declare makes a queue, or looks at it. The channel is busy for a while after that.
func (s *session) declare(r reader) (busy time.Duration, e *exception) {
	d := readDeclaration(r)
	q := s.c.node.view.find(d.name)
	made := q == nil
	switch {
	case d.passive && made:
		return 0, noQueue(d.name)
	case d.passive && q.homeless:
		return 0, noHome(d.name)
	case made:
		if q, e = s.create(d); e != nil {
			return 0, e
		}
	default:
		if e := s.mayDeclare(q, d); e != nil {
			return 0, e
		}
		s.c.observe(Answer, q.name)
	}
	q.touch()
	s.declared = q.name
	answer := func() {
		if !d.quiet && !s.ended {
			s.send(queueDeclareOk, func(w *writer) {
				w.shortString(q.name)
				w.long(uint32(len(q.ready)))
				w.long(uint32(len(q.consumers)))
			})
		}
	}
	if !made || q.kind() != quorum || !q.down() {
		answer()
		return 0, nil
	}
	busy = s.c.engine.quorumDelay // others can see it while its processes are being started
	s.c.engine.after(busy, answer)
	return busy, nil
}

// mayDeclare refuses a declaration of a queue that exists.
func (s *session) mayDeclare(q *queue, d declaration) *exception {
	switch e := q.lockedTo(s.c); {
	case e != nil, d.passive:
		return e
	case d.exclusive != q.exclusive:
		return locked(q.name)
	}
	return d.differs(q.declaration, s.c.engine.options.Release)
}

func (s *session) create(d declaration) (*queue, *exception) {
	c := s.c
	switch {
	case d.name == "":
		d.name = c.engine.name("amq.gen-")
	case strings.HasPrefix(d.name, "amq."):
		return nil, refuse(codeAccessRefused,
			"ACCESS_REFUSED - queue name '%s' contains reserved prefix 'amq.*'", d.name)
	}
	q := newQueue(c.engine, c.node.view, d)
	if q.kind() != classic && !d.durable {
		property := "non-durable"
		if d.exclusive {
			property = "exclusive-owner"
		}
		return nil, refuse(codePreconditionFailed, "PRECONDITION_FAILED - invalid property '%s' for "+
			"queue '%s' in vhost '/'", property, d.name)
	}
	if d.exclusive {
		q.owner = c
		c.locks = append(c.locks, q)
	}
	c.node.view.queues[d.name] = q
	if q.owner != nil {
		c.observe(Granted, q.name)
		if q.view.cutOff { // the others know nothing of it
			c.engine.observe(Event{Kind: Freed, Queue: q.name, Socket: c.socket, Why: SplitOff})
		}
		s.mayDie(q.name)
		c.observe(Answer, q.name)
	}
	return q, nil
}

// mayDie is called when a claim has been granted: see Broker.DeleteByName.
func (s *session) mayDie(name string) {
	c, e := s.c, s.c.engine
	if e.options.Release == V43 || e.chance == 0 || c.dice.Float64() >= e.chance {
		return
	}
	c.socket.Reset()
	e.after(time.Duration(c.dice.Int64N(int64(e.late)+1)), func() {
		if q := c.node.view.queues[name]; q != nil && q.owner != nil {
			q.remove(ByName)
		}
	})
}

func (s *session) delete(r reader) *exception {
	_ = r.short()
	name, bits := r.shortString(), r.octet()
	q := s.c.node.view.find(name)
	count := 0
	if q != nil {
		if e := q.lockedTo(s.c); e != nil {
			return e
		}
		switch {
		case bits&1 != 0 && len(q.consumers) > 0:
			return refuse(codePreconditionFailed,
				"PRECONDITION_FAILED - queue '%s' in vhost '/' in use", name)
		case bits&2 != 0 && len(q.ready) > 0:
			return refuse(codePreconditionFailed,
				"PRECONDITION_FAILED - queue '%s' in vhost '/' not empty", name)
		}
		count = len(q.ready)
		q.remove(Deleted)
	}
	if bits&4 == 0 {
		s.send(queueDeleteOk, func(w *writer) { w.long(uint32(count)) })
	}
	return nil
}
