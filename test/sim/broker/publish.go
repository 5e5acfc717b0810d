package broker

import (
	"encoding/base64"
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
func (s *session) publish(p *publishing) *exception {
	release, view := s.c.engine.options.Release, s.c.node.view
	if user := p.properties.userID; user != "" && user != s.c.user {
		return refuse(codePreconditionFailed, "PRECONDITION_FAILED - user_id property set to '%s' but "+
			"authenticated user was '%s'", user, s.c.user)
	}
	m := &message{exchange: p.exchange, key: p.key, properties: p.properties, body: p.body}
	if m.properties.replyTo == replyTo {
		if s.replyKey == "" {
			return refuse(codePreconditionFailed,
				"PRECONDITION_FAILED - fast reply consumer does not exist")
		}
		m.properties.replyTo = s.replyKey
	}
	s.newest++
	tag := s.newest
	if p.exchange == "" && strings.HasPrefix(p.key, replyTo+".") {
		s.reply(m)
		if p.mandatory && release != V43 { // for which this is no queue, either way
			s.giveBack(m)
		}
		s.confirm(tag, nil)
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
		s.giveBack(m)
	}
	for _, q := range targets {
		each := *m
		q.add(&each)
	}
	s.confirm(tag, targets)
	return nil
}

// giveBack is for a message that leads nowhere.
func (s *session) giveBack(m *message) {
	s.send(basicReturn, func(w *writer) {
		w.short(codeNoRoute)
		w.shortString("NO_ROUTE")
		w.shortString(m.exchange)
		w.shortString(m.key)
	})
	s.sendContent(m)
}

// confirm answers a message: at once, or later where a majority has to have it.
func (s *session) confirm(tag uint64, targets []*queue) {
	if !s.confirms {
		return
	}
	ack := func() {
		if !s.ended {
			s.send(basicAck, func(w *writer) {
				w.double(tag)
				w.octet(0)
			})
			s.c.flush()
		}
	}
	for _, q := range targets {
		if q.kind() == classic {
			continue
		}
		if s.c.node.stalled {
			return
		}
		e := s.c.engine
		e.after(e.options.Cost(s.c.dice, "confirm", q.name), ack)
		return
	}
	ack()
}

// listen makes the address of direct replies, for a consumer with that tag.
func (s *session) listen(tag string) {
	// It names a process in Erlang's external term format. The name of its node has a hash.
	const process = "\x83\x58\x77\x07reply@1\x00\x00\x01\x02\x00\x00\x00\x00\x5f\x00\x00\x01"
	encode := base64.StdEncoding.EncodeToString
	key := s.c.engine.name("key-")
	s.replyTag, s.replyKey = tag, replyTo+"."+encode([]byte(process))+"."+encode([]byte(key))
}

// answered delivers a direct reply.
func (s *session) answered(m *message) {
	tag := uint64(1)
	if s.c.engine.options.Release == V43 {
		s.deliveries.newest++
		tag = s.deliveries.newest
	}
	s.deliver(s.replyTag, tag, m)
}
