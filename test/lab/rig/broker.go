package rig

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Broker is a single node under scripts/broker.
type Broker struct {
	URL  string
	name string
	t    *testing.T
}

// TheBroker is the one that scripts/lab has started for all tests that leave it as it is.
func TheBroker(t *testing.T) *Broker {
	t.Helper()
	b := &Broker{URL: os.Getenv("AMQPRUN_URL"), name: os.Getenv("AMQPRUN_TEST_BROKER"), t: t}
	if b.URL == "" || b.name == "" {
		t.Fatal("no broker: run this through scripts/lab")
	}
	return b
}

// NewBroker starts one for this test alone, which may break it.
func NewBroker(t *testing.T) *Broker {
	t.Helper()
	b := &Broker{name: fmt.Sprintf("lab-%d-%d", os.Getpid(), Now()), t: t}
	t.Cleanup(func() { b.script("stop", b.name) })
	b.URL = strings.TrimSpace(b.script("start", b.name))
	return b
}

func (b *Broker) script(args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "../../../scripts/broker", args...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		b.t.Fatalf("scripts/broker %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// Ctl runs rabbitmqctl.
func (b *Broker) Ctl(args ...string) string {
	b.t.Helper()
	return b.script(append([]string{"ctl", "-n", b.name, "-q"}, args...)...)
}

// Address is where the broker listens.
func (b *Broker) Address() string {
	b.t.Helper()
	u, err := url.Parse(b.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.Host
}

// Through is the broker's URL with another address.
func (b *Broker) Through(address string) string {
	return strings.Replace(b.URL, b.Address(), address, 1)
}

// Signal sends a signal to the node.
func (b *Broker) Signal(s syscall.Signal) {
	b.t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(b.script("pid", b.name)))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := syscall.Kill(pid, s); err != nil {
		b.t.Fatal(err)
	}
}

// CloseConnections closes those whose client's port matches, as an operator would, and returns how many.
func (b *Broker) CloseConnections(match func(port string) bool) int {
	b.t.Helper()
	closed := 0
	for line := range strings.Lines(b.Ctl("list_connections", "pid", "peer_port")) {
		fields := strings.Fields(line)
		if len(fields) == 2 && match(fields[1]) {
			b.Ctl("close_connection", fields[0], "closed by a test")
			closed++
		}
	}
	return closed
}

// SetPolicy applies a policy to all queues whose name begins with prefix, until the end of the test.
func (b *Broker) SetPolicy(prefix, definition string) {
	b.t.Helper()
	b.Ctl("set_policy", "--apply-to", "queues", prefix, "^"+prefix, definition)
	b.t.Cleanup(func() { b.Ctl("clear_policy", prefix) })
}
