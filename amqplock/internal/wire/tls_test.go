package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/test/program"
)

// In TLS 1.3 a broker refuses a client certificate after the client has done its part. A
// reset that follows can fail the first write before the verdict is read.
func TestVerdictBehindAReset(t *testing.T) {
	t.Parallel()
	ours := program.NewAuthority(t, "ours")
	pair, err := tls.LoadX509KeyPair(ours.Server("server", program.Tomorrow()))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refused := make(chan struct{})
	go func() {
		defer close(refused)
		if conn, err := l.Accept(); err == nil {
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	b, err := Broker{
		URLs: []string{"amqps://" + l.Addr().String() + "/"}, CACert: ours.File,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return &resetConn{Conn: conn, refused: refused}, err
		},
	}.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Open(t.Context(), ForLock)
	var e *fault.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "the broker wants a client certificate") {
		t.Errorf("got %v, want what is wrong with the certificate", err)
	}
}

// resetConn fails at the first write behind the handshake. What has come before can still
// be read.
type resetConn struct {
	net.Conn
	refused <-chan struct{}
	writes  int
}

// handshakeWrites is how many writes crypto/tls takes for the part of a client.
const handshakeWrites = 2

func (r *resetConn) Write(p []byte) (int, error) {
	if r.writes++; r.writes <= handshakeWrites {
		return r.Conn.Write(p)
	}
	<-r.refused
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
}
