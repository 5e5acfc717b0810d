package runner

import (
	"errors"
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	g := &Guard{socket: pair[0], kept: conn.(syscall.Conn), orders: orders{Group: 7}}
	if err := g.sendAll(); err != nil {
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

// TestRenewWithoutAProcess: the socket of a guard that has ended is full, and a signal to
// the process 0 would be one to our own group.
func TestRenewWithoutAProcess(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	g := &Guard{socket: pair[0]}
	for err == nil {
		err = g.send(nil)
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	g.Renew(time.Second, time.Second)
	g.stopping()
	g.dismiss()
}
