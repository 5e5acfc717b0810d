package runner

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
