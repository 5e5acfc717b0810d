package broker

import (
	"fmt"
	"time"
)

func (ch *channel) declare(r reader) {
	d := readDeclaration(r)
	c := ch.c
	q := c.node.view.find(d.name)
	made := q == nil
	switch {
	case d.passive && q == nil:
		ch.fail(codeNotFound, noQueue(d.name))
		return
	case d.passive:
		if !ch.mayUse(q) {
			return
		}
		c.observe(Answer, q)
	case q == nil:
		if q = ch.create(d); q == nil {
			return
		}
	default:
		if why, code := q.differs(d, c); why != "" {
			ch.fail(code, why)
			return
		}
		c.observe(Answer, q)
	}
	q.touch()
	ch.declared = q.name
	answer := func() {
		if !d.quiet && !ch.dropped {
			ch.send(queueDeclareOk, func(w *writer) {
				w.shortString(q.name)
				w.long(uint32(len(q.ready)))
				w.long(uint32(len(q.consumers)))
			})
		}
	}
	if !made || q.kind != quorum || !q.down() {
		answer()
		return
	}
	ch.busy = true // others can see it while its processes are being started
	c.b.after(c.b.quorumDelay, func() {
		answer()
		ch.resume(false)
	})
}

// create makes a queue, or refuses to.
func (ch *channel) create(d declaration) *queue {
	c := ch.c
	switch {
	case d.name == "":
		d.name = c.b.name("amq.gen-")
	case len(d.name) >= 4 && d.name[:4] == "amq.":
		ch.fail(codeAccessRefused, fmt.Sprintf("ACCESS_REFUSED - queue name '%s' contains reserved "+
			"prefix 'amq.*'", d.name))
		return nil
	}
	q := newQueue(c.node.view, c.b, d)
	if q.kind != classic && !d.durable {
		property := "non-durable"
		if d.exclusive {
			property = "exclusive-owner"
		}
		ch.fail(codePreconditionFailed, fmt.Sprintf("PRECONDITION_FAILED - invalid property '%s' for "+
			"queue '%s' in vhost '/'", property, d.name))
		return nil
	}
	if d.exclusive {
		q.owner = c
		c.locks = append(c.locks, q)
	}
	c.node.view.queues[d.name] = q
	if q.owner != nil {
		c.observe(Granted, q)
		c.mayDie(q)
		c.observe(Answer, q)
	}
	return q
}

// mayUse closes the channel where the queue is another's.
func (ch *channel) mayUse(q *queue) bool {
	if q.owner == nil || q.owner == ch.c {
		return true
	}
	ch.fail(codeResourceLocked, locked(q.name))
	return false
}

// mayDie is called when a claim has been granted.
func (c *conn) mayDie(q *queue) {
	b := c.b
	if b.options.Release == V43 || b.chance == 0 || c.dice.Float64() >= b.chance {
		return
	}
	c.socket.Reset()
	b.after(time.Duration(c.dice.Int64N(int64(b.late)+1)), func() {
		if q := c.node.view.queues[q.name]; q != nil && q.owner != nil {
			q.remove(ByName)
		}
	})
}

func (ch *channel) delete(r reader) {
	_ = r.short()
	name, bits := r.shortString(), r.octet()
	q := ch.c.node.view.find(name)
	count := 0
	if q != nil {
		switch {
		case !ch.mayUse(q):
			return
		case bits&1 != 0 && len(q.consumers) > 0:
			ch.fail(codePreconditionFailed,
				fmt.Sprintf("PRECONDITION_FAILED - queue '%s' in vhost '/' in use", name))
			return
		case bits&2 != 0 && len(q.ready) > 0:
			ch.fail(codePreconditionFailed,
				fmt.Sprintf("PRECONDITION_FAILED - queue '%s' in vhost '/' not empty", name))
			return
		}
		count = len(q.ready)
		q.remove(Deleted)
	}
	if bits&4 == 0 {
		ch.send(queueDeleteOk, func(w *writer) { w.long(uint32(count)) })
	}
}
