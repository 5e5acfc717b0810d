package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// testDialer finds the addresses 127.0.0.2 and 127.0.0.1 for every host. The first one
// never answers. It returns those that were dialed so far.
func testDialer(t *testing.T) (d dialer, dialed func() []string) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go answerAddresses(server, net.IPv4(127, 0, 0, 2), net.IPv4(127, 0, 0, 1))
	d.Resolver = &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
		},
	}
	var mu sync.Mutex
	var hosts []string
	d.ControlContext = func(ctx context.Context, _, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		mu.Lock()
		hosts = append(hosts, host)
		mu.Unlock()
		if host == "127.0.0.2" {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return err
	}
	return d, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(hosts)
	}
}

// An address that does not answer leaves time for the other addresses of the same host,
// however short the time is.
func TestAddressThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	// net.Dialer gives the silent address two seconds at least.
	for _, patience := range []time.Duration{1900 * time.Millisecond, 20 * time.Second} {
		d, dialed := testDialer(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, err := d.DialContext(ctx, "tcp", "rabbit.test:"+port)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if got := dialed(); !slices.Equal(got, []string{"127.0.0.2", "127.0.0.1"}) {
			t.Errorf("dialed %q", got)
		}
	}
}

// Where nobody answers the error is that of the first address, when the time is over.
func TestNoAddressAnswers(t *testing.T) {
	t.Parallel()
	d, _ := testDialer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := d.DialContext(ctx, "tcp", "rabbit.test:1") // where nobody listens
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
	if ctx.Err() == nil {
		t.Errorf("it did not wait for the silent address: %v", err)
	}
}

// answerAddresses is a name server for which every name has the same addresses, and no
// others.
func answerAddresses(server net.PacketConn, addresses ...net.IP) {
	question := make([]byte, 512)
	for {
		n, from, err := server.ReadFrom(question)
		if err != nil {
			return
		}
		end := 12
		for question[end] != 0 {
			end += int(question[end]) + 1
		}
		end += 5 // the root, type and class
		answer := append([]byte{}, question[:end]...)
		answer[2], answer[3] = 0x81, 0x80 // a reply
		binary.BigEndian.PutUint16(answer[10:], 0)
		if n >= end && question[end-3] == 1 { // A
			binary.BigEndian.PutUint16(answer[6:], uint16(len(addresses)))
			for _, ip := range addresses {
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				answer = append(answer, ip.To4()...)
			}
		}
		_, _ = server.WriteTo(answer, from)
	}
}
