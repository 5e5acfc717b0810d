package broker

import (
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"time"
)

// conn reads what a client sends, and decides about the end of its connection.
type conn struct {
	*owner
	reply func(*message) // see publisher

	in       []byte
	greeted  bool
	open     bool
	channels map[uint16]*channel

	heartbeat time.Duration
	received  bool // something, since the last look
	misses    int
}

// arrive takes what has come from the client; nil is the end.
func (c *conn) arrive(p []byte) {
	switch {
	case c.ended:
	case p == nil:
		c.end(ClientGone)
	default:
		c.received = true
		c.in = append(c.in, p...)
		c.read()
	}
}

// read handles the frames that are complete.
func (c *conn) read() {
	defer c.flush()
	for !c.blocked && !c.ended {
		if !c.greeted {
			if len(c.in) < 8 {
				return
			}
			c.in, c.greeted = c.in[8:], true
			c.greet()
			continue
		}
		if len(c.in) < 8 {
			return
		}
		size := int(binary.BigEndian.Uint32(c.in[3:]))
		if len(c.in) < size+8 {
			return
		}
		kind, channel := c.in[0], binary.BigEndian.Uint16(c.in[1:])
		payload, end := c.in[7:7+size], c.in[7+size]
		c.in = c.in[size+8:]
		if end != frameEnd {
			c.fail(501, "FRAME_ERROR - malformed frame")
			return
		}
		c.frame(kind, channel, payload)
	}
}

func (c *conn) frame(kind byte, number uint16, payload []byte) {
	defer func() {
		switch problem := recover(); problem {
		case nil:
		case errSyntax:
			c.fail(502, "SYNTAX_ERROR - malformed frame")
		default:
			panic(problem)
		}
	}()
	switch {
	case kind == frameHeartbeat:
	case number == 0:
		r := reader{payload}
		c.method(method{r.short(), r.short()}, r)
	case c.closing:
	default:
		c.onChannel(kind, number, payload)
	}
}

func (c *conn) onChannel(kind byte, number uint16, payload []byte) {
	ch := c.channels[number]
	var m method
	if kind == frameMethod {
		r := reader{payload}
		m = method{r.short(), r.short()}
	}
	switch {
	case ch == nil && m == channelOpen:
		ch = &channel{
			session: newSession(c.owner, number, c.reply),
			refuse:  c.refuse,
			closed:  func() { delete(c.channels, number) },
		}
		c.channels[number] = ch
		ch.frame(kind, payload)
	case ch == nil && m == channelCloseOk:
	case ch == nil:
		c.current = m
		c.fail(codeChannelError, "CHANNEL_ERROR - expected 'channel.open'")
	case m == channelOpen && !ch.closing:
		c.current = m
		c.fail(codeChannelError, "CHANNEL_ERROR - second 'channel.open' seen")
	default:
		ch.frame(kind, payload)
	}
}

// greet sends connection.start.
func (c *conn) greet() {
	c.send(0, connectionStart, func(w *writer) {
		w.octet(0)
		w.octet(9)
		w.table(table{
			"product": "RabbitMQ", "version": string(c.engine.options.Release),
			"capabilities": table{
				"publisher_confirms": true, "exchange_exchange_bindings": true, "basic.nack": true,
				"consumer_cancel_notify": true, "connection.blocked": true, "consumer_priorities": true,
				"authentication_failure_close": true, "per_consumer_qos": true, "direct_reply_to": true,
			},
		})
		w.longString("PLAIN AMQPLAIN")
		w.longString("en_US")
	})
}

// method handles those of channel 0.
func (c *conn) method(m method, r reader) {
	if c.closing && m != connectionCloseOk && m != connectionClose {
		return
	}
	c.current = m
	switch m {
	case connectionStartOk:
		properties := r.table()
		capabilities, _ := properties["capabilities"].(table)
		c.notices, _ = capabilities["consumer_cancel_notify"].(bool)
		mechanism, response := r.shortString(), r.longString()
		c.logIn(mechanism, response)
	case connectionTuneOk:
		_, _ = r.short(), r.long()
		c.heartbeat = time.Duration(r.short()) * time.Second
		c.beat()
	case connectionOpen:
		vhost := r.shortString()
		if vhost != "/" {
			c.fail(codeNotAllowed, "NOT_ALLOWED - vhost "+vhost+" not found")
			return
		}
		c.open = true
		c.blocking = c.engine.alarm != ""
		c.send(0, connectionOpenOk, func(w *writer) { w.shortString("") })
	case connectionClose:
		c.closing, c.why = true, ClientClosed
		c.dropAll()
		c.send(0, connectionCloseOk, nil)
		c.flush()
		c.engine.after(closingTime, func() { c.end(ClientClosed) }) // the client is to end it
	case connectionCloseOk:
		c.end(BrokerClosed)
	}
}

// closingTime is how long the broker waits for a client to end its socket.
const closingTime = 30 * time.Second

// logIn knows one user, guest.
func (c *conn) logIn(mechanism, response string) {
	user := "guest"
	if mechanism == "PLAIN" {
		parts := strings.Split(response, "\x00")
		if len(parts) != 3 || parts[1] != "guest" || parts[2] != "guest" {
			c.current = method{}
			c.fail(codeAccessRefused, "ACCESS_REFUSED - Login was refused using authentication "+
				"mechanism PLAIN. For details see the broker logfile.")
			return
		}
		user = parts[1]
	}
	c.user = user
	c.send(0, connectionTune, func(w *writer) {
		w.short(c.engine.options.Channels)
		w.long(frameMax)
		w.short(uint16(c.engine.options.Heartbeat / time.Second))
	})
}

// beat sends heartbeats where nothing else was sent, and ends a connection from which
// nothing has come for two intervals.
func (c *conn) beat() {
	if c.heartbeat == 0 {
		return
	}
	var send, look func()
	send = func() {
		if c.ended {
			return
		}
		if !c.sent {
			c.raw(frameHeartbeat, 0, nil)
			c.flush()
		}
		c.sent = false
		c.engine.after(c.heartbeat/2, send)
	}
	look = func() {
		switch {
		case c.ended:
			return
		case c.received, c.blocked: // RabbitMQ pauses its monitor while it does not read
			c.misses = 0
		default:
			c.misses++
		}
		if c.received = false; c.misses == 2 {
			c.end(ClientSilent)
			return
		}
		c.engine.after(c.heartbeat, look)
	}
	c.engine.after(c.heartbeat/2, send)
	c.engine.after(c.heartbeat, look)
}

// fail is for a fault of the client: of the method that is being handled.
func (c *conn) fail(code uint16, text string) { c.refuse(refuseAll(code, "%s", text)) }

// refuse closes the connection because of what the client or the broker has done.
func (c *conn) refuse(e *exception) {
	if c.closing || c.ended {
		return
	}
	c.engine.observe(Event{Kind: Refused, Socket: c.socket, Text: e.text})
	c.shut(e)
}

// shut closes the connection with a reason, and frees what it has.
func (c *conn) shut(e *exception) {
	if c.closing || c.ended {
		return
	}
	c.closing, c.why = true, BrokerClosed
	c.dropAll()
	of := c.current
	if e.blameless {
		of = method{}
	}
	c.send(0, connectionClose, func(w *writer) {
		w.short(e.code)
		w.shortString(e.cut())
		w.short(of[0])
		w.short(of[1])
	})
	c.flush()
	c.engine.after(time.Second, func() { c.end(BrokerClosed) })
}

// end is the end of the socket.
func (c *conn) end(why Ending) {
	if c.ended {
		return
	}
	c.ended = true
	if c.why == "" {
		c.why = why
	}
	c.dropAll()
	c.engine.loop.at(c.arrival(), func() { c.socket.receive(nil, io.EOF) })
}

// dropAll ends the channels, and deletes the exclusive queues.
func (c *conn) dropAll() {
	numbers := make([]uint16, 0, len(c.channels))
	for number := range c.channels {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		c.channels[number].session.end()
	}
	clear(c.channels)
	for _, q := range slices.Clone(c.locks) {
		q.remove(EndOfConnection)
	}
	c.locks = nil
}
