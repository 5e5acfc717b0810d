// Package conversations has scripted conversations with a broker: what amqprun's protocol
// uses of RabbitMQ. A script says what clients send. Its transcript says what they got,
// from each release of RabbitMQ. The simulated broker has to answer in the same words.
//
// The clients do not use amqp091-go. They show every method that the broker sends, in the
// order of each channel, and can send what that library would not.
package conversations

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
)

// Broker is what a conversation is held with.
type Broker struct {
	Dial  func() (net.Conn, error)
	Alarm func(on bool) error // raises and ends an alarm of memory
	// Quiet is how long nothing has to come for the answers to a step to be complete.
	Quiet time.Duration
}

// Play runs a script and returns its transcript: after each step what every client
// got meanwhile. A step without an answer is no error.
func Play(script string, broker Broker) (transcript string, err error) {
	p := &play{broker: broker, clients: map[string]*client{}, got: map[string][]string{}}
	p.events = make(chan event)
	defer p.end()
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, " \n")
		p.transcript.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseStep(line)
		if err == nil {
			err = p.do(s)
		}
		if err != nil {
			return p.transcript.String(), fmt.Errorf("%s: %w", line, err)
		}
	}
	return p.transcript.String(), nil
}

type play struct {
	broker     Broker
	clients    map[string]*client
	events     chan event // what comes from all connections
	transcript strings.Builder

	got map[string][]string // in this step, for each channel
}

// event is a method that has arrived, or the end of a connection.
type event struct {
	*client
	message *message
	err     error
}

// client is one connection.
type client struct {
	name     string
	conn     net.Conn
	ended    bool
	channels map[uint16]*channel
	replyTo  string // the newest address of a question
}

// channel is what a client remembers of one.
type channel struct {
	asked     string // the request that has no answer yet
	opening   bool   // not because the script says so
	confirms  bool
	published int64
	due       int64 // the confirm that a step waits for
	confirmed int64
}

func (p *play) do(s step) error {
	switch {
	case s.client == "wait":
		length, err := time.ParseDuration(s.verb)
		if err != nil {
			return err
		}
		p.listen(length, nil)
		p.report()
		return nil
	case s.client == "broker" && s.verb == "alarm":
		if err := p.broker.Alarm(s.words[0] == "on"); err != nil {
			return err
		}
	default:
		if err := p.send(s); err != nil {
			return err
		}
	}
	if !s.hurried {
		p.listen(p.broker.Quiet, p.owed)
		p.report()
	}
	return nil
}

func (p *play) send(s step) error {
	c := p.clients[s.client]
	if c == nil || c.ended || s.verb == "connect" {
		words := s.words
		if s.verb != "connect" {
			words = nil
		}
		conn, greeting, err := connect(p.broker.Dial, words)
		if err != nil {
			return err
		}
		if s.verb == "connect" {
			p.note(s.client, greeting...)
		}
		if conn == nil {
			return nil
		}
		c = &client{name: s.client, conn: conn, channels: map[uint16]*channel{}}
		p.clients[s.client] = c
		go p.read(c)
	}
	switch s.verb {
	case "connect":
		return nil
	case "abort":
		c.ended = true
		return c.conn.Close()
	}
	if s.channel != 0 && c.channels[s.channel] == nil && s.verb != "channel.open" &&
		!strings.HasPrefix(s.verb, "connection.") {
		c.channels[s.channel] = &channel{asked: "channel.open", opening: true}
		if err := c.write(&message{method: named("channel.open"), channel: s.channel}); err != nil {
			return err
		}
		p.listen(0, func() bool { return c.owes(s.channel) })
	}
	for i, word := range s.words {
		s.words[i] = strings.ReplaceAll(word, "$reply-to", c.replyTo)
	}
	m, err := s.request()
	if err != nil {
		return err
	}
	if strings.HasPrefix(s.verb, "connection.") {
		m.channel = 0
	}
	ch := c.channels[m.channel]
	if ch == nil {
		ch = &channel{}
		c.channels[m.channel] = ch
	}
	switch {
	case m.name == "basic.publish" && ch.confirms:
		if ch.published++; !s.hurried {
			ch.due = ch.published
		}
	case m.isAnswered() && m.args["no-wait"] != true && !s.hurried:
		ch.asked = m.name
	}
	return c.write(m)
}

func (c *client) write(m *message) error {
	frames, err := m.encode()
	if err != nil {
		return err
	}
	_, _ = c.conn.Write(frames) // read notices the end of a connection
	return nil
}

// read hands on what comes from the broker.
func (p *play) read(c *client) {
	for {
		m, err := readMessage(c.conn)
		p.events <- event{c, m, err}
		if err != nil {
			return
		}
	}
}

// listen takes what comes, until nothing has come for a while and nothing is owed any
// more. Where owed is nil it listens for the whole time.
func (p *play) listen(quiet time.Duration, owed func() bool) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	pause := time.NewTimer(quiet)
	defer pause.Stop()
	for {
		select {
		case e := <-p.events:
			p.take(e)
			if owed != nil {
				pause.Reset(quiet)
			}
		case <-pause.C:
			if owed == nil || !owed() {
				return
			}
			pause.Reset(max(quiet, time.Millisecond))
		case <-deadline.C:
			p.note("", "no answer")
			for _, c := range p.clients {
				for _, ch := range c.channels {
					ch.asked, ch.due = "", 0
				}
			}
			return
		}
	}
}

// owed reports whether an answer or a confirm is missing.
func (p *play) owed() bool {
	for _, c := range p.clients {
		for n := range c.channels {
			if c.owes(n) {
				return true
			}
		}
	}
	return false
}

func (c *client) owes(n uint16) bool {
	ch := c.channels[n]
	return !c.ended && ch != nil && (ch.asked != "" || ch.confirmed < ch.due)
}

func (p *play) take(e event) {
	c := e.client
	if e.err != nil {
		c.ended = true
		switch network := (net.Error)(nil); {
		case errors.Is(e.err, net.ErrClosed): // the script's own abort
		case errors.Is(e.err, io.EOF), errors.As(e.err, &network):
			p.note(c.name+".0", "end of the connection")
		default:
			p.note(c.name+".0", e.err.Error())
		}
		return
	}
	m := e.message
	ch := c.channels[m.channel]
	if ch == nil {
		ch = &channel{}
		c.channels[m.channel] = ch
	}
	place := c.name
	if m.channel != 1 {
		place = fmt.Sprintf("%s.%d", c.name, m.channel)
	}
	if to, ok := m.properties["reply-to"].(string); ok {
		c.replyTo = to
	}
	switch m.name {
	case "basic.ack", "basic.nack":
		p.confirm(place, ch, m)
		return
	case "confirm.select-ok":
		ch.confirms = true
	case "channel.close":
		*ch = channel{}
		_ = c.write(&message{method: named("channel.close-ok"), channel: m.channel})
	case "connection.close":
		clear(c.channels)
		_ = c.write(&message{method: named("connection.close-ok")})
	}
	if m.answers(ch.asked) {
		ch.asked = ""
	}
	if !ch.opening {
		p.note(place, m.String())
	}
	ch.opening = false
}

// confirm makes one line of confirms that follow one another: RabbitMQ sends several in
// one as its time permits.
func (p *play) confirm(place string, ch *channel, m *message) {
	tag, _ := m.args["delivery-tag"].(int64)
	first := tag
	if m.args["multiple"] == true {
		first = ch.confirmed + 1
	}
	ch.confirmed = max(ch.confirmed, tag)
	for ; first <= tag; first++ {
		text := fmt.Sprintf("%s delivery-tag=%d", m.name, first)
		p.note(place, text)
	}
}

func (p *play) note(place string, texts ...string) {
	p.got[place] = append(p.got[place], texts...)
}

// report writes down what has come in this step.
func (p *play) report() {
	for _, place := range slices.Sorted(maps.Keys(p.got)) {
		for _, text := range p.got[place] {
			fmt.Fprintf(&p.transcript, "    %s: %s\n", place, text)
		}
	}
	p.got = map[string][]string{}
}

// end closes all connections, and returns when nobody reads any more.
func (p *play) end() {
	left := 0
	for _, c := range p.clients {
		if !c.ended {
			_ = c.conn.Close()
			left++
		}
	}
	for left > 0 {
		if e := <-p.events; e.err != nil {
			left--
		}
	}
}
