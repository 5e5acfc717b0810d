package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	header    = []byte("AMQP\x00\x00\x09\x01")
	method    = []byte{1, 0, 0, 0, 0, 0, 2, 'h', 'i', 0xce}
	heartbeat = []byte{8, 0, 0, 0, 0, 0, 0, 0xce}
)

// through connects a client to a server through a proxy.
func through(t *testing.T) (p *Proxy, client, server *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Listen(listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	s, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	t.Cleanup(func() { _ = c.Close(); _ = s.Close() })
	return p, c.(*net.TCPConn), s.(*net.TCPConn)
}

func send(t *testing.T, c net.Conn, frames ...[]byte) {
	t.Helper()
	if _, err := c.Write(bytes.Join(frames, nil)); err != nil {
		t.Fatal(err)
	}
}

// arrives checks that exactly these frames come.
func arrives(t *testing.T, c net.Conn, frames ...[]byte) {
	t.Helper()
	want := bytes.Join(frames, nil)
	got := make([]byte, len(want))
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := io.ReadFull(c, got)
	if err == nil {
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		var more []byte
		more, err = io.ReadAll(c)
		got = append(got, more...)
	}
	if !bytes.Equal(got, want) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v, want %q and silence", got, err, want)
	}
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault Fault
		want  [][]byte
	}{
		{"none", None(), [][]byte{header, method, heartbeat}},
		{"black hole", Blackhole(), nil},
		{"heartbeats only", Heartbeats(), [][]byte{heartbeat}},
		{"delay", Delay(10 * time.Millisecond), [][]byte{header, method, heartbeat}},
		{"trickle", Trickle(time.Millisecond), [][]byte{header, method, heartbeat}},
		{"after two", After(2), [][]byte{header, method}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, client, server := through(t)
			p.Break(test.fault, None())
			send(t, client, header, method, heartbeat)
			arrives(t, server, test.want...)
			send(t, server, method, heartbeat)
			arrives(t, client, method, heartbeat)
		})
	}
}

func TestAtAMethod(t *testing.T) {
	p, client, server := through(t)
	consume := []byte{1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 20, 0xce}
	publish := []byte{1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 40, 0xce}
	met := make(chan struct{})
	p.Break(At(60, 40, func() { close(met) }), None())
	send(t, client, header, consume, publish, heartbeat, publish)
	arrives(t, server, header, consume, heartbeat)
	<-met
}

func TestEndComesThrough(t *testing.T) {
	_, client, server := through(t)
	_ = client.CloseWrite()
	_ = server.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := server.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v, want the end", n, err)
	}
}

func TestResetComesThrough(t *testing.T) {
	_, client, server := through(t)
	_ = client.SetLinger(0)
	_ = client.Close()
	_ = server.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
}

func TestBlackholeHidesTheEnd(t *testing.T) {
	p, client, server := through(t)
	p.Break(Blackhole(), None())
	_ = client.CloseWrite()
	arrives(t, server)
}

func TestCut(t *testing.T) {
	for reset, want := range map[bool]error{true: syscall.ECONNRESET, false: io.EOF} {
		p, client, server := through(t)
		send(t, client, header) // the link is known when it has carried something
		_ = server.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadFull(server, make([]byte, len(header))); err != nil {
			t.Fatal(err)
		}
		p.Cut(reset)
		for _, c := range []net.Conn{client, server} {
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, want) {
				t.Errorf("reset %v: read: %v, want %v", reset, err, want)
			}
		}
	}
}
