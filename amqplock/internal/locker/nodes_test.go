package locker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// dials is a Broker.Dial that counts and may fail.
type dials struct {
	mu   sync.Mutex
	all  []string // the addresses, in the order of the dials
	fail func(address string, before int) error
	peer *peer // nil: of the real broker
}

func (d *dials) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	before := 0
	for _, earlier := range d.all {
		if earlier == address {
			before++
		}
	}
	d.all = append(d.all, address)
	d.mu.Unlock()
	if d.fail != nil {
		if err := d.fail(address, before); err != nil {
			return nil, err
		}
	}
	if d.peer != nil {
		return d.peer.dial(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func (d *dials) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.all)
}

// address is that of the dial before which there were so many.
func (d *dials) address(before int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all[before]
}

// address is that of the test's broker, which also answers to the name localhost.
func address(t *testing.T) string {
	t.Helper()
	uri, err := amqp.ParseURI(testURL(t))
	if err != nil {
		t.Fatal(err)
	}
	if uri.Host != "127.0.0.1" {
		t.Skip("the broker is not at 127.0.0.1")
	}
	return fmt.Sprintf("%s:%d", uri.Host, uri.Port)
}

// blackHole is a listener that answers no connection attempt: its queue is full.
func blackHole(t *testing.T, ip string, port int) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	at := syscall.SockaddrInet4{Addr: [4]byte(net.ParseIP(ip).To4()), Port: port}
	if err := errors.Join(syscall.Bind(fd, &at), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port = name.(*syscall.SockaddrInet4).Port
	for { // until one is not taken any more
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", ip, port), 200*time.Millisecond)
		if err != nil {
			return port
		}
		t.Cleanup(func() { conn.Close() })
	}
}

func TestNodesAreTriedInOrder(t *testing.T) {
	t.Parallel()
	var d dials
	cfg := testConfig(t, wire.Mutex)
	hole := blackHole(t, "127.0.0.1", 0)
	cfg.URLs = []string{
		"amqp://u:secret@127.0.0.1:1/",
		fmt.Sprintf("amqp://u:secret@127.0.0.1:%d/", hole),
		testURL(t),
		"amqp://u:secret@127.0.0.1:2/",
	}
	cfg.Dial, cfg.ConnectTimeout = d.dial, 6*time.Second // twice a login on a busy machine
	lock := mustAcquire(t, cfg)
	d.mu.Lock() // the holder opens one more connection
	all := slices.Clone(d.all)
	d.mu.Unlock()
	want := []string{"127.0.0.1:1", fmt.Sprintf("127.0.0.1:%d", hole), address(t)}
	if len(all) < len(want) || !slices.Equal(all[:len(want)], want) {
		t.Fatalf("dialed %q, want %q", all, want)
	}
	// The next connection begins where the last one succeeded.
	c, err := lock.cfg.Open(t.Context(), wire.ForPublish)
	if err != nil {
		t.Fatal(err)
	}
	c.Abort()
	d.mu.Lock()
	defer d.mu.Unlock()
	others := func(at string) bool { return at != address(t) }
	if rest := d.all[len(want):]; len(rest) == 0 || slices.ContainsFunc(rest, others) {
		t.Errorf("then it dialed %q", rest)
	}
}

// TestConnectionsAtDifferentNodes: a node may take the one connection and not the other.
func TestConnectionsAtDifferentNodes(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots = 1
	both := make(chan struct{}) // closed when the second has begun at this node too
	d := dials{fail: func(name string, before int) error {
		switch {
		case name == address(t) && before == 0:
			<-both // or the second would begin at the node that has taken the first
			return syscall.ECONNREFUSED
		case name == address(t) && before == 1:
			close(both)
		}
		return nil
	}}
	other := strings.Replace(testURL(t), "127.0.0.1", "localhost", 1)
	cfg.URLs, cfg.Dial = []string{testURL(t), other}, d.dial
	lock := mustAcquire(t, cfg)
	lockAt, publishAt := lock.link.Lock.Broker, lock.link.Publish().Broker
	if lockAt == publishAt {
		t.Errorf("both are at %s", lockAt)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNoNodeAnswers(t *testing.T) {
	t.Parallel()
	cfg := Config{
		Ref: wire.Ref{Kind: wire.Mutex, Name: "x"},
		Broker: wire.Broker{
			URLs: []string{"amqp://u:secret@127.0.0.1:1/v", "amqp://u:secret@no-such-host.invalid/v"},
		},
	}
	_, err := TryAcquire(t.Context(), cfg)
	if !errors.Is(err, fault.ErrUnreachable) || !wire.Temporary(err) {
		t.Errorf("got %#v", err)
	}
	for _, want := range []string{
		"none of 2 brokers took the connection: cannot reach the broker amqp://127.0.0.1:1/v: ",
		"amqp://127.0.0.1:1/v: dial tcp 127.0.0.1:1: connect: connection refused; ",
		"amqp://no-such-host.invalid:5672/v: dial tcp: lookup no-such-host.invalid",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q", err)
	}
}

// TestBrokerThatIsAway is waited for by one who waits, and by nobody else.
func TestBrokerThatIsAway(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		d := dials{peer: p, fail: func(_ string, before int) error {
			if before < 3 {
				return syscall.ECONNREFUSED
			}
			return nil
		}}
		var warnings []string
		cfg.Dial = d.dial
		cfg.Log = onWarning(func(text string) { warnings = append(warnings, text) })
		lock := mustAcquire(t, cfg)
		if len(warnings) != 1 ||
			!strings.HasSuffix(warnings[0], "connection refused; trying again for 10s") {
			t.Errorf("warnings: %q", warnings)
		}
		_ = lock.Release(t.Context())
	})
	inBubble(t, func(t *testing.T, _ *peer, cfg Config) {
		d := dials{fail: func(string, int) error { return syscall.ECONNREFUSED }}
		cfg.Dial = d.dial
		if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrUnreachable) ||
			d.count() != 1 {
			t.Errorf("TryAcquire: %v after %d tries", err, d.count())
		}
		if _, err := Inspect(t.Context(), cfg.Broker, cfg.Ref); !errors.Is(err, fault.ErrUnreachable) ||
			d.count() != 2 {
			t.Errorf("Inspect: %v after %d tries", err, d.count()-1)
		}
		cfg.ConnectTimeout = 300 * time.Millisecond
		if _, err := Acquire(t.Context(), cfg); !errors.Is(err, fault.ErrUnreachable) ||
			d.count() < 4 {
			t.Errorf("Acquire: %v after %d tries", err, d.count()-2)
		}
		cfg.ConnectTimeout = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := Acquire(ctx, cfg); !errors.Is(err, fault.ErrUnreachable) ||
			!strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Acquire for 0.3 s: %v", err)
		}
		stop := errors.New("stop")
		stopped, stopIt := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { stopIt(stop) })
		if _, err := Acquire(stopped, cfg); !errors.Is(err, stop) {
			t.Errorf("Acquire that is stopped: %v", err)
		}
	})
}

// TestWhatIsTriedAgain is the list in docs/how-to/connecting.md. A try
// that fails takes less than the connect timeout, unless it uses that up.
func TestWhatIsTriedAgain(t *testing.T) {
	t.Parallel()
	at := address(t)
	says := func(greeting string) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				_, _ = theirs.Read(make([]byte, 8))
				_, _ = theirs.Write([]byte(greeting))
				theirs.Close()
			}()
			return ours, nil
		}
	}
	fails := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	hole := fmt.Sprintf("amqp://127.0.0.1:%d/", blackHole(t, "127.0.0.1", 0))
	for _, test := range []struct {
		name  string
		url   string // of the real broker, or of one that is silent; else
		dial  func(context.Context, string, string) (net.Conn, error)
		kind  error
		again bool
	}{
		{name: "connection refused", dial: fails(syscall.ECONNREFUSED), kind: fault.ErrUnreachable,
			again: true},
		{name: "connection reset", dial: fails(syscall.ECONNRESET), kind: fault.ErrUnreachable,
			again: true},
		{name: "no such host", dial: fails(&net.DNSError{Err: "no such host", IsNotFound: true}),
			kind: fault.ErrUnreachable, again: true},
		{name: "no route", dial: fails(syscall.EHOSTUNREACH), kind: fault.ErrUnreachable, again: true},
		{name: "the connection ends before the login is done", dial: says(""), kind: fault.ErrUnreachable,
			again: true},
		{name: "no answer to the connection attempt", url: hole, kind: fault.ErrUnreachable},
		{name: "who listens speaks no AMQP", dial: says("HTTP/1.1 400 Bad Request\r\n\r\n"),
			kind: fault.ErrUnreachable},
		{
			name: "wrong password", url: "amqp://guest:wrong@" + at + "/",
			kind: fault.ErrAccess, again: true,
		},
		{
			name: "no such virtual host", url: "amqp://" + at + "/missing",
			kind: fault.ErrNotFound, again: true,
		},
	} {
		try := func(
			t *testing.T, cfg Config, dial func(context.Context, string, string) (net.Conn, error),
		) {
			tries := 0
			cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				tries++
				return dial(ctx, network, addr)
			}
			_, err := Acquire(t.Context(), cfg)
			if !errors.Is(err, test.kind) || (tries > 1) != test.again {
				t.Errorf("%v after %d tries", err, tries)
			}
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.dial != nil {
				inBubble(t, func(t *testing.T, _ *peer, cfg Config) { try(t, cfg, test.dial) })
				return
			}
			cfg := testConfig(t, wire.Mutex)
			cfg.URLs = []string{test.url}
			if test.url == hole { // which uses it up
				cfg.ConnectTimeout = time.Second
			}
			try(t, cfg, (&net.Dialer{}).DialContext)
		})
	}
}

// A node that does not see its cluster keeps its connections, and fails to declare the
// queues of the history (541). A contender goes on with the next node.
func TestNodeThatFailsIsLeft(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		d := &dials{peer: p}
		cfg.URLs = []string{"amqp://u:secret@127.0.0.1:1/", "amqp://u:secret@127.0.0.1:2/"}
		cfg.Dial, cfg.Fence = d.dial, true
		p.answer(func(r *request) bool {
			fails := r.method == "declare"
			if fails {
				r.closeConnection(541, "INTERNAL_ERROR")
			}
			return fails
		})
		if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrUnreachable) {
			t.Errorf("without waiting: %v, want ErrUnreachable", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := Acquire(ctx, cfg); !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("%v, want ErrNotAcquired when the time is over", err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		first := slices.Index(d.all, "127.0.0.1:2")
		if first < 0 || !slices.Contains(d.all[first:], "127.0.0.1:1") {
			t.Errorf("dialed %q, want each node in turn", d.all)
		}
	})
}
