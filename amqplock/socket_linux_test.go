package amqplock

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// socketPair is a socket and the other end of its connection.
func socketPair(t *testing.T) (net.Conn, *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close() })
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	s := newSocket(dialed)
	if _, ok := s.(*socket); !ok {
		t.Fatalf("newSocket has returned a %T", s)
	}
	return s, accepted.(*net.TCPConn)
}

// More than the kernel takes at once, so that both ends have to wait for one another.
func TestSocketTransfersAll(t *testing.T) {
	s, peer := socketPair(t)
	sent := make([]byte, 16<<20)
	_, _ = rand.Read(sent)
	go func() { _, _ = io.Copy(peer, peer) }()
	wrote := make(chan error, 1)
	go func() {
		n, err := s.Write(sent)
		if err == nil && n != len(sent) {
			err = io.ErrShortWrite
		}
		wrote <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(s, got); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if !bytes.Equal(got, sent) {
		t.Error("what came back is not what was sent")
	}
}

func TestSocketEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(s net.Conn, peer *net.TCPConn)
		want error
	}{
		{"finished by the peer", func(_ net.Conn, peer *net.TCPConn) { _ = peer.CloseWrite() }, io.EOF},
		{"reset by the peer", func(_ net.Conn, peer *net.TCPConn) { _ = peer.SetLinger(0); _ = peer.Close() }, syscall.ECONNRESET},
		{"closed here", func(s net.Conn, _ *net.TCPConn) { _ = s.Close() }, net.ErrClosed},
		{"too late", func(s net.Conn, _ *net.TCPConn) { _ = s.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, peer := socketPair(t)
			read := make(chan error, 1)
			go func() {
				_, err := s.Read(make([]byte, 1))
				read <- err
			}()
			test.end(s, peer)
			if err := <-read; !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestSocketWriteFails(t *testing.T) {
	s, peer := socketPair(t)
	_ = peer.SetLinger(0)
	_ = peer.Close()
	_, _ = s.Read(make([]byte, 1)) // the reset has come
	if n, err := s.Write([]byte("x")); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("wrote %d: %v, want EPIPE", n, err)
	}
	var told *net.OpError
	if _, err := s.Write([]byte("x")); !errors.As(err, &told) || told.Addr == nil {
		t.Errorf("%v does not tell the peer", err)
	}
}
