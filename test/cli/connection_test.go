package cli

import (
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/amqprun/amqprun/test/program"
)

// forward listens at address for the broker of the tests, and closes the first
// connections at once. It returns the URL of itself.
func forward(t *testing.T, address string, spoiled int32) string {
	t.Helper()
	broker, err := url.Parse(os.Getenv("AMQPRUN_URL"))
	if err != nil || broker.Scheme != "amqp" || broker.Port() == "" {
		t.Skip("the broker's URL is not like amqp://HOST:PORT/")
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { l.Close() })
	upstream := broker.Host
	var accepted atomic.Int32
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			if accepted.Add(1) <= spoiled {
				client.Close()
				continue
			}
			go func() {
				defer client.Close()
				server, err := net.Dial("tcp", upstream)
				if err != nil {
					return
				}
				defer server.Close()
				go func() { _, _ = io.Copy(server, client) }()
				_, _ = io.Copy(client, server)
			}()
		}
	}()
	broker.Host = l.Addr().String()
	return broker.String()
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	lock := program.LockName(t)
	at := forward(t, "[::1]:0", 0)
	got := program.Run(t, nil, "-v", "-n", "--url", at, "--mutex", lock, "echo", "ran")
	if got.Code != 0 || got.Stdout != "ran\n" ||
		!strings.Contains(got.Stderr, "connected to amqp://[::1]:") {
		t.Errorf("got %+v", got)
	}
}

// TestConnectionThatEndsEarly: a waiter tries again, because the broker may be starting.
func TestConnectionThatEndsEarly(t *testing.T) {
	t.Parallel()
	lock := program.LockName(t)
	got := program.Run(t, nil, "--url", forward(t, "127.0.0.1:0", 2), "--mutex", lock, "echo", "ran")
	if got.Code != 0 || got.Stdout != "ran\n" {
		t.Errorf("got %+v", got)
	}
	const reason = "; trying again for 10s\n"
	if strings.Count(got.Stderr, "\n") != 1 || !strings.HasPrefix(got.Stderr,
		"amqprun: warning: cannot reach the broker ") || !strings.HasSuffix(got.Stderr, reason) {
		t.Errorf("stderr %q", got.Stderr)
	}
	got = program.Run(t, nil, "--url", forward(t, "127.0.0.1:0", 2), "-n", "--mutex", lock,
		"echo", "ran")
	if got.Code != 69 || got.Stdout != "" ||
		!strings.HasPrefix(got.Stderr, "amqprun: error: ") {
		t.Errorf("got %+v", got)
	}
}
