package locker

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// peer is the broker's side of AMQP 0-9-1 as far as this package uses it. It gives
// answers that a real broker gives in rare trouble only. It lives in a synctest bubble:
// nothing there takes any time, and time passes when all wait.
//
// It answers like a broker in good health, with queues that have owners, unless script
// answers instead.
type peer struct {
	t         *testing.T
	heartbeat uint16 // seconds, in connection.tune
	channels  uint16 // that a connection may have, 0: as many as RabbitMQ allows

	mu     sync.Mutex
	delay  time.Duration       // of every answer
	script func(*request) bool // true: it has answered, or wants no answer
	away   bool                // takes no connections

	queues map[string]*peerConn // with the owner of an exclusive one
	conns  []*peerConn          // in the order in which they were dialed
}

// request is a method that the client has sent.
type request struct {
	*peerConn
	// method: an exclusive declare is a "claim", and a passive one is a "look". See methods.
	method  string
	queue   string
	noWait  bool
	channel uint16
	content []byte // of a publish: the payload of the frame with the properties
}

// barrier is the queue that cannot exist, the last of every question by publishing.
const barrier = "amq.amqprun.barrier"

// inBubble runs a test with a peer, and a clock that the test may let jump.
func inBubble(t *testing.T, test func(t *testing.T, p *peer, cfg Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &peer{t: t, heartbeat: 60, queues: map[string]*peerConn{wire.Witness: nil}}
		test(t, p, Config{
			Broker:   wire.Broker{Dial: p.dial, Log: testLog(t)},
			Ref:      wire.Ref{Kind: wire.Mutex, Name: "x"},
			StopTime: 5 * time.Second,
			clock:    &bubbleClock{start: time.Now()},
		})
	})
}

// eachKind is inBubble for a mutex, and for a semaphore with one slot.
func eachKind(t *testing.T, test func(t *testing.T, p *peer, cfg Config)) {
	t.Helper()
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		t.Run(string(kind), func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				if kind == wire.Semaphore {
					cfg = p.semaphore(cfg, 1)
				}
				test(t, p, cfg)
			})
		})
	}
}

// pass lets time pass in a bubble, until all have done what was theirs to do by then.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// semaphore makes a semaphore x with so many slots.
func (p *peer) semaphore(cfg Config, slots int) Config {
	cfg.Kind = wire.Semaphore
	for i := range slots + 1 {
		p.queues[wire.SlotQueue(cfg.Name, i)] = nil
	}
	return cfg
}

// heldFor lets another hold an exclusive queue for d from now on.
func (p *peer) heldFor(queue string, d time.Duration) {
	p.mu.Lock()
	p.queues[queue] = &peerConn{}
	p.mu.Unlock()
	time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.queues, queue)
	})
}

// answer changes the script.
func (p *peer) answer(script func(*request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = script
}

// fail has the broker fail itself (541) at the first n of such requests, and counts them.
func (p *peer) fail(n int, method, queue, detail string) (failures *int) {
	failures = new(int)
	p.answer(func(r *request) bool {
		fails := r.method == method && r.queue == queue && *failures < n
		if fails {
			*failures++
			r.closeConnection(amqp.InternalError, "INTERNAL_ERROR - "+detail)
		}
		return fails
	})
	return failures
}

func (p *peer) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return nil, syscall.ECONNREFUSED
	}
	c := &peerConn{
		peer:      p,
		client:    client,
		socket:    server,
		out:       make(chan delayed, 4096),
		gone:      make(chan struct{}),
		stalled:   map[uint16]bool{},
		closing:   map[uint16]bool{},
		confirms:  map[uint16]uint64{},
		seen:      map[string]int{},
		consumers: map[string]uint32{},
	}
	p.conns = append(p.conns, c)
	go c.write()
	go c.serve()
	return client, nil
}

// connOf is the peer's end of a connection.
func (p *peer) connOf(c *wire.Conn) *peerConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pc := range p.conns {
		if pc.client == c.Socket {
			return pc
		}
	}
	p.t.Fatal("that connection is not the peer's")
	return nil
}

// dialed counts the connections so far.
func (p *peer) dialed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// owned reports whether an exclusive queue is there.
func (p *peer) owned(queue string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queues[queue] != nil
}

// peerConn is one connection. All but out, gone and the sockets is guarded by peer.mu.
type peerConn struct {
	*peer
	client, socket net.Conn
	out            chan delayed
	gone           chan struct{} // closed when the client has closed its socket, or we ours

	silent  bool            // answers nothing, and sends no heartbeats
	blocked bool            // by an alarm: sends heartbeats alone
	stalled map[uint16]bool // channels on which nothing is answered any more
	// Channels that we have closed: what comes before the client agrees is ignored.
	closing   map[uint16]bool
	confirms  map[uint16]uint64 // the newest delivery tag of channels that confirm
	seen      map[string]int    // methods, how often
	consumers map[string]uint32 // by queue
	claimed   bool              // it has declared an exclusive queue: it holds
	published bool              // it talks
}

type delayed struct {
	frame []byte
	until time.Time
}

// saw returns how often a method has come on this connection.
func (c *peerConn) saw(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[method]
}

// hang makes the connection silent.
func (c *peerConn) hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = true
}

// open reports whether the client has its socket open.
func (c *peerConn) open() bool {
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

// write is a goroutine of its own, because the client may write while it does not read.
func (c *peerConn) write() {
	for {
		select {
		case d := <-c.out:
			// A timer that is due at once has crashed the runtime (1.26.8, with -race).
			if wait := time.Until(d.until); wait > 0 {
				select {
				case <-time.After(wait):
				case <-c.gone:
					return
				}
			}
			if _, err := c.socket.Write(d.frame); err != nil {
				return
			}
		case <-c.gone:
			return
		}
	}
}

func (c *peerConn) serve() {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for queue, owner := range c.queues {
			if owner == c {
				delete(c.queues, queue)
			}
		}
		_ = c.socket.Close()
		close(c.gone)
	}()
	if _, err := io.ReadFull(c.socket, make([]byte, len("AMQP0091"))); err != nil {
		return
	}
	c.mu.Lock()
	c.send(
		0,
		connectionStart,
		byte(0),
		byte(9),
		amqp.Table{},
		longString("PLAIN"),
		longString("en_US"),
	)
	c.mu.Unlock()
	var publish *request // its content is still to come
	for {
		kind, channel, payload, err := readFrame(c.socket)
		if err != nil {
			return
		}
		c.mu.Lock()
		switch {
		case c.silent:
		case kind == frameHeartbeat:
			c.frame(frameHeartbeat, 0, nil)
		case c.blocked || c.stalled[channel]:
		case kind == frameBody: // no script asks about it
		case kind == frameHeader:
			publish.content = payload
			c.handle(publish)
		default:
			r := c.parse(channel, payload)
			if r.method != "publish" {
				c.handle(r)
			}
			publish = r
		}
		c.mu.Unlock()
	}
}

// handle has the lock.
func (c *peerConn) handle(r *request) {
	if r.method == "channel.close-ok" {
		delete(c.closing, r.channel)
	}
	if c.closing[r.channel] {
		return
	}
	c.seen[r.method]++
	switch r.method {
	case "publish":
		c.published = true
		if _, confirms := c.confirms[r.channel]; confirms {
			c.confirms[r.channel]++
		}
	case "claim":
		c.claimed = true
	}
	if c.claimed && c.published {
		c.t.Errorf("%s %s: a lock connection has published", r.method, r.queue)
	}
	if c.script == nil || !c.script(r) {
		r.serve()
	}
}

func (c *peerConn) send(channel uint16, m method, fields ...any) {
	c.frame(frameMethod, channel, encode(m, fields...))
}

func (c *peerConn) frame(kind byte, channel uint16, payload []byte) {
	var b bytes.Buffer
	b.WriteByte(kind)
	_ = binary.Write(&b, binary.BigEndian, channel)
	_ = binary.Write(&b, binary.BigEndian, uint32(len(payload)))
	b.Write(payload)
	b.WriteByte(frameEnd)
	c.out <- delayed{b.Bytes(), time.Now().Add(c.delay)}
}
