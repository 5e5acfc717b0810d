// Package proxy stands between an AMQP client and its broker and breaks the stream, each
// way by itself. It cuts the stream at the frames of AMQP. So a fault can let heartbeats
// pass and nothing else, or stall a handshake at any step.
package proxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Direction is one way through the proxy.
type Direction int

// The two ways.
const (
	ToBroker Direction = iota
	ToClient
)

// A Fault is what happens to each frame; the protocol header that a client begins with
// counts as one.
type Fault struct {
	frame func(to io.Writer, frame []byte) error
	mute  bool          // the end of the stream does not come through either
	delay time.Duration // from the arrival of each frame
}

// None lets everything pass.
func None() Fault {
	return Fault{
		frame: func(to io.Writer, frame []byte) error { _, err := to.Write(frame); return err },
	}
}

// Blackhole lets nothing pass.
func Blackhole() Fault {
	return Fault{mute: true, frame: func(io.Writer, []byte) error { return nil }}
}

// The types of frames, their first octet.
const (
	frameMethod    = 1
	frameHeartbeat = 8
)

// Heartbeats lets heartbeats pass and nothing else: the peer seems to live and answers
// nothing.
func Heartbeats() Fault {
	return Fault{mute: true, frame: func(to io.Writer, frame []byte) error {
		if frame[0] != frameHeartbeat {
			return nil
		}
		_, err := to.Write(frame)
		return err
	}}
}

// Delay makes each frame late by d, and takes none of the throughput.
func Delay(d time.Duration) Fault {
	late := None()
	late.delay = d
	return late
}

// Trickle lets one byte pass every d.
func Trickle(d time.Duration) Fault {
	return Fault{frame: func(to io.Writer, frame []byte) error {
		for i := range frame {
			<-time.After(d)
			if _, err := to.Write(frame[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	}}
}

// After lets n frames pass, of all connections together, and nothing else.
func After(n int) Fault {
	var passed atomic.Int64
	return Fault{mute: true, frame: func(to io.Writer, frame []byte) error {
		if passed.Add(1) > int64(n) {
			return nil
		}
		_, err := to.Write(frame)
		return err
	}}
}

// At calls then at the first frame of that method, by its numbers in AMQP. That frame and
// those of its kind behind it do not pass.
func At(class, method uint16, then func()) Fault {
	var once sync.Once
	numbers := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, class), method)
	return Fault{frame: func(to io.Writer, frame []byte) error {
		if frame[0] == frameMethod && bytes.HasPrefix(frame[7:], numbers) {
			once.Do(then)
			return nil
		}
		_, err := to.Write(frame)
		return err
	}}
}

// Proxy listens on loopback and connects whoever comes to the broker.
type Proxy struct {
	listener net.Listener
	broker   string
	faults   [2]atomic.Pointer[Fault]
	all      sync.WaitGroup

	mu    sync.Mutex
	links map[*link]bool
}

// link is one connection through the proxy.
type link struct{ client, broker *net.TCPConn }

// Listen starts a proxy for the broker at that address, host:port.
func Listen(broker string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, broker: broker, links: map[*link]bool{}}
	p.Break(None(), None())
	p.all.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Break sets the faults of both directions, for the connections that are open and those
// to come.
func (p *Proxy) Break(toBroker, toClient Fault) {
	p.faults[ToBroker].Store(&toBroker)
	p.faults[ToClient].Store(&toClient)
}

// Cut ends all connections, with a reset or properly, on both sides.
func (p *Proxy) Cut(reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end(reset)
	}
}

// PortsToBroker are the ports that the broker sees its clients at.
func (p *Proxy) PortsToBroker() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ports := map[string]bool{}
	for l := range p.links {
		ports[strconv.Itoa(l.broker.LocalAddr().(*net.TCPAddr).Port)] = true
	}
	return ports
}

// Close ends the proxy and waits for its goroutines.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Cut(true)
	p.all.Wait()
}

func (l *link) end(reset bool) {
	for _, c := range []*net.TCPConn{l.client, l.broker} {
		if reset {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", p.broker)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &link{client.(*net.TCPConn), broker.(*net.TCPConn)}
		p.mu.Lock()
		p.links[l] = true
		p.mu.Unlock()
		p.all.Go(func() { p.carry(l) })
	}
}

// carry forgets the link when both directions have ended.
func (p *Proxy) carry(l *link) {
	var ways sync.WaitGroup
	ways.Go(func() { p.pump(l.broker, l.client, ToBroker) })
	ways.Go(func() { p.pump(l.client, l.broker, ToClient) })
	ways.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	l.end(false)
}

// arrival is a frame and when it came, or the end of the stream.
type arrival struct {
	at    time.Time
	frame []byte
	err   error
}

func (p *Proxy) pump(to, from *net.TCPConn, way Direction) {
	arrivals := make(chan arrival, 1024)
	p.all.Go(func() {
		stream := bufio.NewReader(from)
		for {
			frame, err := readFrame(stream)
			arrivals <- arrival{time.Now(), frame, err}
			if err != nil {
				close(arrivals)
				return
			}
		}
	})
	broken := false
	for a := range arrivals {
		fault := p.faults[way].Load()
		<-time.After(time.Until(a.at.Add(fault.delay)))
		switch {
		case broken:
		case a.err == nil:
			broken = fault.frame(to, a.frame) != nil
		case fault.mute:
		case errors.Is(a.err, io.EOF):
			_ = to.CloseWrite()
		case errors.Is(a.err, net.ErrClosed): // by end, which closes the other side too
		default: // a reset is passed on as one
			_ = to.SetLinger(0)
			_ = to.Close()
		}
	}
}

// readFrame reads one frame, or the header that a client begins with: "AMQP" and four
// octets.
func readFrame(stream *bufio.Reader) ([]byte, error) {
	head, err := stream.Peek(7)
	if err != nil {
		return nil, err
	}
	size := 7 + int(binary.BigEndian.Uint32(head[3:])) + 1
	if string(head[:4]) == "AMQP" {
		size = 8
	}
	frame := make([]byte, size)
	_, err = io.ReadFull(stream, frame)
	return frame, err
}
