package broker

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// publishing is a message on its way in.
type publishing struct {
	exchange, key string
	mandatory     bool
	properties    properties
	size          int
	headed        bool
	body          []byte
}

func readPublish(r reader) *publishing {
	_ = r.short()
	p := &publishing{exchange: r.shortString(), key: r.shortString()}
	p.mandatory = r.octet()&1 != 0
	return p
}

// replyTo is the queue that stands for the answers to its own channel.
const replyTo = "amq.rabbitmq.reply-to"

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

// replyAddress is as RabbitMQ makes them: a process in Erlang's external term format, and
// a key. The name of the process's node is made of a hash.
func (b *Broker) replyAddress() string {
	const process = "\x83\x58\x77\x07reply@1\x00\x00\x01\x02\x00\x00\x00\x00\x5f\x00\x00\x01"
	encode := base64.StdEncoding.EncodeToString
	return replyTo + "." + encode([]byte(process)) + "." + encode([]byte(b.name("key-")))
}
