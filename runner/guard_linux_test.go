package runner

import (
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestGuardWithoutTheConnection: amqprun closes it at a loss, and a guard that is started
// after that has orders nevertheless.
func TestGuardWithoutTheConnection(t *testing.T) {
	t.Parallel()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	l := &guardLink{socket: pair[0]}
	if err := l.sendAll(orders{Group: 7}.encode(""), conn.(syscall.Conn)); err != nil {
		t.Fatal(err)
	}
	var message [maxMessage]byte
	n, err := unix.Read(pair[1], message[:])
	if err != nil {
		t.Fatal(err)
	}
	if o, _, err := decodeOrders(message[:n]); err != nil || o.Group != 7 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestRenewWithoutAProcess: the guard has ended, and amqprun goes on.
func TestRenewWithoutAProcess(t *testing.T) {
	t.Parallel()
	g := NewGuard()
	g.Renew(time.Second, 2*time.Second)
	g.stopping(0)
	g.KeepSocket(nil)
	g.abandon()
	if g.is(0) || g.mayHaveStopped() || g.orders.KillAt != 2*time.Second {
		t.Errorf("%+v", g.orders)
	}
	if err := g.Done(); err != nil {
		t.Error(err)
	}
}

// TestGraceEndsForTheGuardToo: a renewal that comes late gives no longer one.
func TestGraceEndsForTheGuardToo(t *testing.T) {
	t.Parallel()
	g := NewGuard()
	g.stopping(5 * time.Second)
	for _, lease := range []time.Duration{9 * time.Second, 3 * time.Second} {
		g.Renew(time.Second, lease)
		if want := min(lease, 5*time.Second); g.orders.KillAt != want {
			t.Errorf("a lease of %v: kills at %v, want %v", lease, g.orders.KillAt, want)
		}
	}
}
