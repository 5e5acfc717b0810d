package broker

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// binding leads the messages of an exchange with a key to a queue.
type binding struct {
	key   string
	queue *queue
}

// replyTo is the queue that stands for the answers to its own channel.
const replyTo = "amq.rabbitmq.reply-to"

func (ch *channel) declareExchange(r reader) {
	_ = r.short()
	name, kind, bits := r.shortString(), r.shortString(), r.octet()
	v := ch.c.node.view
	is, known := v.exchanges[name]
	switch passive := bits&1 != 0; {
	case !known && passive:
		ch.fail(codeNotFound, noExchange(name))
		return
	case !known && strings.HasPrefix(name, "amq."):
		ch.fail(codeAccessRefused, fmt.Sprintf("ACCESS_REFUSED - exchange name '%s' contains reserved "+
			"prefix 'amq.*'", name))
		return
	case !known:
		v.exchanges[name] = kind
	case !passive && is != kind:
		ch.fail(codePreconditionFailed, fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg 'type' for "+
			"exchange '%s' in vhost '/': received '%s' but current is '%s'", name, kind, is))
		return
	}
	if bits&16 == 0 {
		ch.send(exchangeDeclareOk, nil)
	}
}

func (ch *channel) deleteExchange(r reader) {
	_ = r.short()
	name, bits := r.shortString(), r.octet()
	v := ch.c.node.view
	delete(v.exchanges, name)
	delete(v.bindings, name)
	if bits&2 == 0 {
		ch.send(exchangeDeleteOk, nil)
	}
}

func noExchange(name string) string {
	return fmt.Sprintf("NOT_FOUND - no exchange '%s' in vhost '/'", name)
}

func (ch *channel) bind(r reader) {
	_ = r.short()
	queue, exchange, key, bits := r.shortString(), r.shortString(), r.shortString(), r.octet()
	v := ch.c.node.view
	q := v.find(queue)
	if _, known := v.exchanges[exchange]; q != nil && !known {
		ch.fail(codeNotFound, noExchange(exchange))
		return
	}
	if q == nil {
		ch.fail(codeNotFound, noQueue(queue))
		return
	}
	if !ch.mayUse(q) {
		return
	}
	v.bindings[exchange] = append(v.bindings[exchange], binding{key, q})
	if bits&1 == 0 {
		ch.send(queueBindOk, nil)
	}
}

// publish routes a message, returns it where it leads nowhere, and confirms it.
func (ch *channel) publish(p *publishing) {
	c := ch.c
	if user := p.properties.userID; user != "" && user != c.user {
		ch.fail(codePreconditionFailed, fmt.Sprintf("PRECONDITION_FAILED - user_id property set to "+
			"'%s' but authenticated user was '%s'", user, c.user))
		return
	}
	m := &message{exchange: p.exchange, key: p.key, properties: p.properties, body: p.body}
	if m.properties.replyTo == replyTo {
		if ch.replies == nil {
			ch.fail(codePreconditionFailed,
				"PRECONDITION_FAILED - fast reply consumer does not exist")
			return
		}
		m.properties.replyTo = ch.replyKey
	}
	ch.tag++
	tag := ch.tag
	if p.exchange == "" && strings.HasPrefix(p.key, replyTo+".") {
		c.b.reply(m)
		if p.mandatory && c.b.options.Release != V43 { // for which this is no queue, either way
			ch.giveBack(m)
		}
		ch.confirm(tag, nil)
		return
	}
	if p.exchange == "" && c.node.view.isDying(p.key) && c.b.options.Release == V40 {
		c.fault("INTERNAL_ERROR")
		return
	}
	targets, known := c.node.view.route(m)
	if !known {
		ch.fail(codeNotFound, noExchange(p.exchange))
		return
	}
	if len(targets) == 0 && p.mandatory {
		ch.giveBack(m)
	}
	for _, q := range targets {
		each := *m
		q.add(&each)
	}
	ch.confirm(tag, targets)
}

// giveBack is for a message that leads nowhere.
func (ch *channel) giveBack(m *message) {
	ch.send(basicReturn, func(w *writer) {
		w.short(codeNoRoute)
		w.shortString("NO_ROUTE")
		w.shortString(m.exchange)
		w.shortString(m.key)
	})
	ch.sendContent(m)
}

// confirm answers a message: at once, or later where a majority has to have it.
func (ch *channel) confirm(tag uint64, targets []*queue) {
	if !ch.confirms {
		return
	}
	ack := func() {
		if !ch.dropped && !ch.closing {
			ch.send(basicAck, func(w *writer) {
				w.double(tag)
				w.octet(0)
			})
			ch.c.flush()
		}
	}
	for _, q := range targets {
		if q.kind == classic {
			continue
		}
		if ch.c.node.stalled {
			return
		}
		ch.c.b.after(ch.c.b.options.Cost(ch.c.dice, "confirm", q.name), ack)
		return
	}
	ack()
}

// route is where a message leads, and whether its exchange is known.
func (v *view) route(m *message) (targets []*queue, known bool) {
	if m.exchange == "" {
		if q := v.find(m.key); q != nil {
			targets = append(targets, q)
		}
		return targets, true
	}
	_, known = v.exchanges[m.exchange]
	for _, b := range v.bindings[m.exchange] {
		if b.key == m.key {
			targets = append(targets, b.queue)
		}
	}
	return targets, known
}

// replyAddress is as RabbitMQ makes them: a process in Erlang's external term format, and
// a key. The name of the process's node is made of a hash.
func (b *Broker) replyAddress() string {
	const process = "\x83\x58\x77\x07reply@1\x00\x00\x01\x02\x00\x00\x00\x00\x5f\x00\x00\x01"
	encode := base64.StdEncoding.EncodeToString
	return replyTo + "." + encode([]byte(process)) + "." + encode([]byte(b.name("key-")))
}

// reply delivers a message to the channel that its key names.
func (b *Broker) reply(m *message) {
	for _, c := range b.conns {
		for _, ch := range c.channels {
			if ch.replies != nil && ch.replyKey == m.key {
				tag := uint64(1)
				if b.options.Release == V43 {
					ch.delivery++
					tag = ch.delivery
				}
				ch.send(basicDeliver, func(w *writer) {
					w.shortString(ch.replies.tag)
					w.double(tag)
					w.bit(false)
					w.shortString(m.exchange)
					w.shortString(m.key)
				})
				ch.sendContent(m)
				c.flush()
				return
			}
		}
	}
}
