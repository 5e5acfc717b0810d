package rig

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/amqprun/amqprun/test/program"
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
	t.Cleanup(func() {
		if log, _ := os.ReadFile(filepath.Join(b.home(), "log", "rabbit")); t.Failed() {
			t.Logf("the broker's log:\n%s", log)
		}
		program.Broker(t, nil, "stop", b.name)
	})
	b.URL = program.Broker(t, nil, "start", b.name)
	return b
}

// Ctl runs rabbitmqctl.
func (b *Broker) Ctl(args ...string) string {
	b.t.Helper()
	return program.Broker(b.t, nil, append([]string{"ctl", "-n", b.name, "-q"}, args...)...)
}

// Eval runs an Erlang expression on the node, without the second that rabbitmqctl takes.
func (b *Broker) Eval(erlang string) string {
	b.t.Helper()
	return program.Broker(b.t, nil, "eval", b.name, erlang)
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
	if err := syscall.Kill(b.pid(), s); err != nil {
		b.t.Fatal(err)
	}
}

func (b *Broker) pid() int {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.home(), "pid"))
	if err != nil {
		b.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		b.t.Fatal(err)
	}
	return pid
}

// AwaitAlarm waits until the resource, memory or disk, is in alarm.
func (b *Broker) AwaitAlarm(resource string) {
	b.t.Helper()
	WaitFor(b.t, Patience, "an alarm of "+resource, func() bool {
		return strings.Contains(b.Eval("rabbit_alarm:get_alarms()."), resource)
	})
}

// CloseConnections closes those whose client's port matches, as an operator would, and
// returns how many.
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

// SetPolicy applies a policy to all queues whose name begins with prefix, until the end
// of the test.
func (b *Broker) SetPolicy(prefix, definition string) {
	b.t.Helper()
	b.Ctl("set_policy", "--apply-to", "queues", prefix, "^"+prefix, definition)
	b.t.Cleanup(func() { b.Ctl("clear_policy", prefix) })
}

// home is the node's directory; scripts/lab says where scripts/broker keeps them.
func (b *Broker) home() string { return filepath.Join(os.Getenv("AMQPRUN_BROKER_DIR"), b.name) }

// Restart starts the node again with the data that it had, once it is dead. The epmd
// beside it has survived, and has the environment that the node had.
func (b *Broker) Restart() {
	b.t.Helper()
	WaitFor(b.t, Patience, "the node is dead",
		func() bool { return syscall.Kill(b.pid(), 0) != nil })
	log, err := os.OpenFile(filepath.Join(b.home(), "log", "rabbit"), os.O_APPEND|os.O_WRONLY,
		0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	node := exec.Command("rabbitmq-server")
	node.Env = append(b.epmdEnvironment(), "RUNNING_UNDER_SYSTEMD=true")
	node.Stdout, node.Stderr = log, log
	node.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := node.Start(); err != nil {
		b.t.Fatal(err)
	}
	go func() { _ = node.Wait() }()
	if err := os.WriteFile(filepath.Join(b.home(), "pid"), []byte(strconv.Itoa(node.Process.Pid)),
		0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Bounce sends a signal to the node, which ends it, and starts it again. It returns when
// the node accepts connections.
func (b *Broker) Bounce(s syscall.Signal) {
	b.t.Helper()
	b.Signal(s)
	b.Restart()
	WaitFor(b.t, Patience, "the broker is back", func() bool {
		conn, err := net.Dial("tcp", b.Address())
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
}

func (b *Broker) epmdEnvironment() []string {
	b.t.Helper()
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		if comm, _ := os.ReadFile(name); strings.TrimSpace(string(comm)) != "epmd" {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "environ"))
		env := strings.Split(strings.TrimRight(string(environ), "\x00"), "\x00")
		if slices.Contains(env, "AMQPRUN_BROKER_HOME="+b.home()) {
			return env
		}
	}
	b.t.Fatal("the node's epmd does not run")
	return nil
}
