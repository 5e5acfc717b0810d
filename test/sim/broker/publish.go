package broker

import (
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
	name, _, bits := r.shortString(), r.shortString(), r.octet()
	v := ch.c.node.view
	if _, known := v.exchanges[name]; !known {
		if bits&1 != 0 {
			ch.fail(codeNotFound, noExchange(name))
			return
		}
		v.exchanges[name] = nil
	}
	if bits&16 == 0 {
		ch.send(exchangeDeclareOk, nil)
	}
}

func noExchange(name string) string {
	return fmt.Sprintf("NOT_FOUND - no exchange '%s' in vhost '/'", name)
}

func (ch *channel) bind(r reader) {
	_ = r.short()
	queue, exchange, key, bits := r.shortString(), r.shortString(), r.shortString(), r.octet()
	v := ch.c.node.view
	q := v.find(ch.c.b, queue)
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
	v.exchanges[exchange] = append(v.exchanges[exchange], binding{key, q})
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
		ch.confirm(tag, nil)
		return
	}
	if p.exchange == "" && c.node.view.isDying(p.key) && c.b.options.Release == V40 {
		c.fail(codeInternalError, "INTERNAL_ERROR")
		return
	}
	targets, known := c.node.view.route(c.b, m)
	if !known {
		ch.fail(codeNotFound, noExchange(p.exchange))
		return
	}
	if len(targets) == 0 && p.mandatory {
		ch.send(basicReturn, func(w *writer) {
			w.short(codeNoRoute)
			w.shortString("NO_ROUTE")
			w.shortString(p.exchange)
			w.shortString(p.key)
		})
		ch.sendContent(m)
	}
	for _, q := range targets {
		each := *m
		q.add(&each)
	}
	ch.confirm(tag, targets)
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
func (v *view) route(b *Broker, m *message) (targets []*queue, known bool) {
	if m.exchange == "" {
		if q := v.find(b, m.key); q != nil {
			targets = append(targets, q)
		}
		return targets, true
	}
	all, known := v.exchanges[m.exchange]
	for _, b := range all {
		if b.key == m.key {
			targets = append(targets, b.queue)
		}
	}
	return targets, known
}

// reply delivers a message to the channel that its key names.
func (b *Broker) reply(m *message) {
	for _, c := range b.conns {
		for _, ch := range c.channels {
			if ch.replies != nil && ch.replyKey == m.key {
				ch.delivery++
				ch.send(basicDeliver, func(w *writer) {
					w.shortString(ch.replies.tag)
					w.double(ch.delivery)
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
