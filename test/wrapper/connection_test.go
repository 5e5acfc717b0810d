package wrapper

import (
	"io"
	"net"
	"testing"
	"time"
)

// connection is what the guard keeps open: the test's end of it sees the end of file when
// all holders have let go.
type connection struct {
	listener net.Listener
	address  string
	accepted chan net.Conn
	closed   chan struct{}
}

func listen(t *testing.T) *connection {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return accept(t, l)
}

func accept(t *testing.T, l net.Listener) *connection {
	c := &connection{l, l.Addr().String(), make(chan net.Conn, 1), make(chan struct{})}
	go func() {
		defer close(c.closed)
		conn, err := l.Accept()
		if err == nil {
			c.accepted <- conn
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-c.closed
	})
	return c
}

// next is the connection that is made when this one has ended.
func (c *connection) next(t *testing.T) *connection { return accept(t, c.listener) }

// end is the end of the connection as a broker makes it.
func (c *connection) end() { _ = (<-c.accepted).(*net.TCPConn).CloseWrite() }

func (c *connection) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// awaitClosed waits for the end of file, and fails if one of pids is alive then.
func (c *connection) awaitClosed(t *testing.T, pids ...int) {
	t.Helper()
	select {
	case <-c.closed:
	case <-time.After(patience):
		t.Fatal("the connection stays open")
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("the connection was closed while %d was alive: %s", pid, describe([]int{pid}))
		}
	}
}
