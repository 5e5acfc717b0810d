package broker

import "strings"

// publisher takes the messages of a channel.
type publisher struct {
	*outlet
	reply    func(*message) // delivers a direct reply to the channel that its key names
	confirms bool
	newest   uint64 // tag of a message published
}

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

// publish routes a message, returns it where it leads nowhere, and confirms it. replyKey
// is where the channel gets direct replies, "" if it gets none.
func (pub *publisher) publish(p *publishing, replyKey string) *exception {
	release, view := pub.c.engine.options.Release, pub.c.node.view
	if user := p.properties.userID; user != "" && user != pub.c.user {
		return refuse(codePreconditionFailed, "PRECONDITION_FAILED - user_id property set to '%s' but "+
			"authenticated user was '%s'", user, pub.c.user)
	}
	m := &message{exchange: p.exchange, key: p.key, properties: p.properties, body: p.body}
	if m.properties.replyTo == replyTo {
		if replyKey == "" {
			return refuse(codePreconditionFailed,
				"PRECONDITION_FAILED - fast reply consumer does not exist")
		}
		m.properties.replyTo = replyKey
	}
	pub.newest++
	tag := pub.newest
	if p.exchange == "" && strings.HasPrefix(p.key, replyTo+".") {
		pub.reply(m)
		if p.mandatory && release != V43 { // for which this is no queue, either way
			pub.giveBack(m)
		}
		pub.confirm(tag, nil)
		return nil
	}
	if p.exchange == "" && view.isDying(p.key) && release == V40 {
		return internal("INTERNAL_ERROR")
	}
	targets, known := view.route(m)
	if !known {
		return noExchange(p.exchange)
	}
	if len(targets) == 0 && p.mandatory {
		pub.giveBack(m)
	}
	for _, q := range targets {
		if q.log != nil && q.view.cutOff { // no majority has it, so nobody can read it
			continue
		}
		each := *m
		q.add(&each)
	}
	pub.confirm(tag, targets)
	return nil
}

// giveBack is for a message that leads nowhere.
func (pub *publisher) giveBack(m *message) {
	pub.send(basicReturn, func(w *writer) {
		w.short(codeNoRoute)
		w.shortString("NO_ROUTE")
		w.shortString(m.exchange)
		w.shortString(m.key)
	})
	pub.sendContent(m)
}

// confirm answers a message: at once, or later where a majority has to have it.
func (pub *publisher) confirm(tag uint64, targets []*queue) {
	if !pub.confirms {
		return
	}
	ack := func() {
		if !pub.ended {
			pub.send(basicAck, func(w *writer) {
				w.double(tag)
				w.octet(0)
			})
			pub.c.flush()
		}
	}
	for _, q := range targets {
		if q.kind() == classic {
			continue
		}
		if pub.c.node.stalled {
			return
		}
		e := pub.c.engine
		e.after(e.options.Cost(pub.c.dice, "confirm", q.name), ack)
		return
	}
	ack()
}
