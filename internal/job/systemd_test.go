package job

import (
	"crypto/rand"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// TestStandby is not parallel: it sets a variable.
func TestStandby(t *testing.T) {
	for kind, path := range map[string]string{
		"path": filepath.Join(t.TempDir(), "notify"), "abstract": "@amqprun-" + rand.Text(),
	} {
		t.Run(kind, func(t *testing.T) {
			socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			t.Setenv("NOTIFY_SOCKET", path)
			expect := func(want string) {
				t.Helper()
				if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				message := make([]byte, 4096)
				n, err := socket.Read(message)
				if want += "\nEXTEND_TIMEOUT_USEC=90000000"; err != nil || string(message[:n]) != want {
					t.Fatalf("got %q, %v; want %q", message[:n], err, want)
				}
			}
			s := newStandby(`mutex "m"`)
			s.done("never waited")
			s.every = 20 * time.Millisecond
			s.update(amqplock.Waiting{Ahead: 2})
			expect(`STATUS=waiting for mutex "m": 2 ahead`)
			expect(`STATUS=waiting for mutex "m": 2 ahead`)
			s.done("over")
			for last := ""; last != "STATUS=over\nEXTEND_TIMEOUT_USEC=90000000"; {
				message := make([]byte, 4096)
				n, err := socket.Read(message)
				if err != nil {
					t.Fatal(err)
				}
				last = string(message[:n])
			}
			s.done("not again")
			s.every = time.Hour          // or more of the same may come before the end
			s.update(amqplock.Waiting{}) // resumed after Ctrl-Z
			expect(`STATUS=waiting for mutex "m": next in line`)
			s.done("over")
		})
	}
	t.Setenv("NOTIFY_SOCKET", "")
	s := newStandby(`mutex "m"`)
	s.update(amqplock.Waiting{})
	s.done("nobody listens")
}

// TestStandbyDoesNotHang: a systemd that reads nothing delays the command for a moment.
//
// It is not parallel: it sets a variable.
func TestStandbyDoesNotHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	s := newStandby(`mutex "m"`)
	s.every = 100 * time.Microsecond // fills the queue of the socket
	s.update(amqplock.Waiting{Ahead: 2})
	full, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for err == nil {
		_ = full.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, err = full.Write([]byte("x"))
	}
	begun := time.Now()
	s.done("over")
	if took := time.Since(begun); took > systemdTakes+5*time.Second {
		t.Errorf("took %s", took)
	}
}
