package broker

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Socket is the client's end of a connection. It is a net.Conn whose network belongs to
// the broker: what is written arrives there after the latency of the network, in order.
// Writing never blocks, as if the buffers of the kernel had no end.
type Socket struct {
	path
	loop   *loop
	arrive func([]byte) // at the broker, in its loop; nil is the end of the stream
	reset  func()       // the connection at the broker, in its loop
	local  addr

	mu       sync.Mutex
	out      transit
	in       []byte
	err      error // of reads, when in is empty
	closed   bool
	dead     bool          // its process is
	ready    chan struct{} // a read may go on
	deadline time.Time
	alarm    *time.Timer // at the deadline
}

// Read blocks until bytes have arrived, the connection ends, or the deadline.
func (s *Socket) Read(p []byte) (int, error) {
	for {
		n, err := s.take(p)
		if n > 0 || err != nil {
			return n, err
		}
		<-s.ready
	}
}

// take returns 0 where nothing has arrived.
func (s *Socket) take(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		s.signal() // other readers
		return 0, net.ErrClosed
	case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
		return 0, os.ErrDeadlineExceeded
	case len(s.in) > 0:
		n := copy(p, s.in)
		s.in = s.in[n:]
		return n, nil
	}
	return 0, s.err
}

func (s *Socket) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Write sends.
func (s *Socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, net.ErrClosed
	case s.err != nil:
		return 0, syscall.EPIPE
	case s.dead:
		return len(p), nil
	}
	sent := append([]byte(nil), p...)
	s.send(func() { s.arrive(sent) })
	return len(p), nil
}

// send has f run when what is written now arrives. The caller has the mutex.
func (s *Socket) send(f func()) {
	var arrive func()
	arrive = func() {
		switch open, from := s.toBroker(); {
		case !open:
		case time.Now().Before(from):
			s.loop.at(from, arrive)
		default:
			f()
		}
	}
	s.loop.at(s.out.arrival(), arrive)
}

// Close closes the connection. The broker learns of that when the notice arrives.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	if s.alarm != nil {
		s.alarm.Stop()
	}
	s.signal()
	if !s.dead {
		s.send(func() { s.arrive(nil) })
	}
	return nil
}

// Die is what the kernel does for a process that is killed: it closes the connection.
// Nothing that the process does afterwards has an effect.
func (s *Socket) Die() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && !s.dead {
		s.dead = true
		s.send(func() { s.arrive(nil) })
	}
}

// receive is called when bytes have come from the broker, or with an error for their end.
func (s *Socket) receive(p []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch open, from := s.fromBroker(); {
	case !open, s.dead, s.closed, s.err != nil:
		return
	case time.Now().Before(from):
		s.loop.at(from, func() { s.receive(p, err) })
		return
	}
	s.in, s.err = append(s.in, p...), err
	s.signal()
}

// IsOpen reports whether the client has it open, and the network carries it.
func (s *Socket) IsOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	open, _ := s.fromBroker()
	return open && !s.closed && !s.dead && s.err == nil
}

// TimeOut ends a connection that Lose or Deafen has cut: the client's kernel has given
// up, or somebody has refused a packet.
func (s *Socket) TimeOut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch open, from := s.fromBroker(); {
	case time.Now().Before(from):
		s.loop.at(from, s.TimeOut)
	case !open && !s.closed && !s.dead && s.err == nil:
		s.err = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ETIMEDOUT}
		s.signal()
	}
}

// Reset breaks the connection: both sides get an error at once.
func (s *Socket) Reset() {
	s.receive(nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET})
	s.loop.at(time.Now(), s.reset)
}

// SetDeadline is SetReadDeadline: writes never wait.
func (s *Socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline ends reads at t, also those that wait already.
func (s *Socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.deadline = t
	if s.alarm != nil {
		s.alarm.Stop()
	}
	if t.IsZero() {
		return nil
	}
	wait := time.Until(t)
	if wait <= 0 {
		s.signal()
		return nil
	}
	if s.alarm == nil {
		s.alarm = time.AfterFunc(wait, s.signal)
	} else {
		s.alarm.Reset(wait)
	}
	return nil
}

// SetWriteDeadline does nothing: writes never wait.
func (s *Socket) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr is a name of this connection.
func (s *Socket) LocalAddr() net.Addr { return s.local }

// RemoteAddr is that of the broker.
func (s *Socket) RemoteAddr() net.Addr { return addr("broker") }

type addr string

func (addr) Network() string  { return "sim" }
func (a addr) String() string { return string(a) }
