package broker

import (
	"cmp"
	"fmt"
	"strings"
)

// handle has the effect of a request, and answers.
func (ch *channel) handle(r request) {
	ch.c.current = r.method
	switch r.method {
	case channelOpen:
		ch.send(channelOpenOk, func(w *writer) { w.longString("") })
	case channelClose:
		ch.drop()
		delete(ch.c.channels, ch.number)
		ch.send(channelCloseOk, nil)
	case exchangeDeclare:
		ch.declareExchange(r.args)
	case exchangeDelete:
		ch.deleteExchange(r.args)
	case queueDeclare:
		ch.declare(r.args)
	case queueBind:
		ch.bind(r.args)
	case queueDelete:
		ch.delete(r.args)
	case basicQos:
		_ = r.args.long()
		ch.prefetch = int(r.args.short())
		ch.send(basicQosOk, nil)
	case basicConsume:
		ch.consume(r.args)
	case basicCancel:
		ch.cancel(r.args)
	case basicPublish:
		ch.publish(r.message)
	case basicGet:
		ch.get(r.args)
	case basicAck:
		tag := r.args.double()
		ch.settle(tag, r.args.octet()&1 != 0, acknowledged)
	case basicReject:
		tag := r.args.double()
		ch.settle(tag, false, refused(r.args.octet()&1 != 0))
	case basicNack:
		tag, bits := r.args.double(), r.args.octet()
		ch.settle(tag, bits&1 != 0, refused(bits&2 != 0))
	case confirmSelect:
		ch.confirms = true
		if r.args.octet()&1 == 0 {
			ch.send(confirmSelectOk, nil)
		}
	default:
		ch.c.fail(codeNotImplemented, fmt.Sprintf("NOT_IMPLEMENTED - method %d", r.method))
	}
}

// declaration are the arguments of queue.declare.
type declaration struct {
	name                                           string
	passive, durable, exclusive, autoDelete, quiet bool
	args                                           table
}

// endsOfLines are taken out of names that are declared.
var endsOfLines = strings.NewReplacer("\r", "", "\n", "")

func readDeclaration(r reader) declaration {
	_ = r.short()
	d := declaration{name: endsOfLines.Replace(r.shortString())}
	bits := r.octet()
	d.passive, d.durable, d.exclusive = bits&1 != 0, bits&2 != 0, bits&4 != 0
	d.autoDelete, d.quiet = bits&8 != 0, bits&16 != 0
	d.durable = d.durable && !d.exclusive // RabbitMQ does not keep exclusive queues
	d.args = r.table()
	return d
}

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

func noQueue(name string) string {
	return fmt.Sprintf("NOT_FOUND - no queue '%s' in vhost '/'", name)
}

// mayUse closes the channel where the queue is another's.
func (ch *channel) mayUse(q *queue) bool {
	if q.owner == nil || q.owner == ch.c {
		return true
	}
	ch.fail(codeResourceLocked, locked(q.name))
	return false
}

func locked(name string) string {
	return fmt.Sprintf("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '%s' in "+
		"vhost '/'. It could be originally declared on another connection or the exclusive "+
		"property value does not match that of the original declaration.", name)
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
