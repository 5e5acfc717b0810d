package broker

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// conn is the broker's end of a connection. It belongs to the loop.
type conn struct {
	b      *Broker
	id     int
	node   *node
	dice   *rand.Rand
	socket *Socket

	in       []byte
	out      []byte
	last     time.Time // when what was sent last arrives
	greeted  bool
	open     bool
	closing  bool // we have sent connection.close
	ended    bool
	why      Ending
	user     string
	current  method // that is being handled
	notices  bool   // of consumers that the broker cancels
	channels map[uint16]*channel

	heartbeat time.Duration
	received  bool // something, since the last look
	misses    int
	sent      bool

	published bool
	blocking  bool // an alarm: the next publish blocks
	blocked   bool // nothing is read

	locks []*queue // exclusive ones, in the order of their declares
}

func newConn(b *Broker, id int, n *node, dice *rand.Rand) *conn {
	return &conn{b: b, id: id, node: n, dice: dice, channels: map[uint16]*channel{}}
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
		ch = newChannel(c, number)
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
			"product": "RabbitMQ", "version": string(c.b.options.Release),
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
		c.blocking = c.b.alarm != ""
		c.send(0, connectionOpenOk, func(w *writer) { w.shortString("") })
	case connectionClose:
		c.closing, c.why = true, ClientClosed
		c.dropAll()
		c.send(0, connectionCloseOk, nil)
		c.flush()
		c.b.after(closingTime, func() { c.end(ClientClosed) }) // the client is to end it
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
		w.short(c.b.options.Channels)
		w.long(frameMax)
		w.short(uint16(c.b.options.Heartbeat / time.Second))
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
		c.b.after(c.heartbeat/2, send)
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
		c.b.after(c.heartbeat, look)
	}
	c.b.after(c.heartbeat/2, send)
	c.b.after(c.heartbeat, look)
}

// fail is shut for a fault of the client: of the method that is being handled.
func (c *conn) fail(code uint16, text string) { c.refuse(code, text, c.current) }

// fault is shut for a fault of the broker: no method is to blame.
func (c *conn) fault(text string) { c.refuse(codeInternalError, text, method{}) }

func (c *conn) refuse(code uint16, text string, of method) {
	if c.closing || c.ended {
		return
	}
	c.b.options.Observe(Event{Kind: Refused, At: time.Now(), Socket: c.socket, Text: text})
	c.close(code, text, of)
}

// shut closes the connection with a reason, and frees what it has.
func (c *conn) shut(code uint16, text string) { c.close(code, text, method{}) }

func (c *conn) close(code uint16, text string, of method) {
	if c.closing || c.ended {
		return
	}
	c.closing, c.why = true, BrokerClosed
	c.dropAll()
	c.send(0, connectionClose, func(w *writer) {
		w.short(code)
		w.shortString(cut(text))
		w.short(of[0])
		w.short(of[1])
	})
	c.flush()
	c.b.after(time.Second, func() { c.end(BrokerClosed) })
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
	c.b.conns = slices.DeleteFunc(c.b.conns, func(other *conn) bool { return other == c })
	at := c.arrival()
	c.b.loop.at(at, func() { c.socket.receive(nil, io.EOF) })
}

// dropAll ends the channels, and deletes the exclusive queues.
func (c *conn) dropAll() {
	numbers := make([]uint16, 0, len(c.channels))
	for number := range c.channels {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		c.channels[number].drop()
	}
	clear(c.channels)
	for _, q := range slices.Clone(c.locks) {
		q.remove(EndOfConnection)
	}
	c.locks = nil
}
