package wrapper

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/proxy"
	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sys/unix"
)

// fate is what becomes of a signal that is sent to amqprun.
type fate int

const (
	ends      fate = iota // amqprun gives up, and the command never starts
	forwarded             // the command gets it
	ignored               // nothing changes
)

// sent are the signals of the table, in the order of its columns.
var sent = [...]syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
	syscall.SIGUSR1, syscall.SIGUSR2}

// staged is an amqprun that has reached a stage of its life.
type staged struct {
	*process
	lock   string
	guard  int    // 0 when there is none
	log    string // what the command has written so far
	early  bool   // it has ended soon after the signal
	behind int    // how many wait behind it

	settle func(s syscall.Signal) // brings it to the end that it has without s
	code   int                    // its exit status then
	left   string                 // what the command has written by then, where s was ignored
}

func TestSignalAtEveryStage(t *testing.T) {
	t.Parallel()
	b := dial(t)
	for _, stage := range []struct {
		name  string
		reach func(t *testing.T, b *broker, lock string) *staged
		fates [len(sent)]fate // HUP INT QUIT TERM USR1 USR2
	}{
		{"connecting", connecting, [...]fate{ends, ends, ends, ends, ignored, ignored}},
		{"waiting", waiting, [...]fate{ends, ends, ends, ends, ignored, ignored}},
		{"running", running, [...]fate{forwarded, forwarded, forwarded, forwarded, forwarded, forwarded}},
		{"stopping", stopping,
			[...]fate{forwarded, forwarded, forwarded, forwarded, forwarded, forwarded}},
		{"releasing", releasing, [...]fate{ignored, ignored, ignored, ignored, ignored, ignored}},
	} {
		t.Run(stage.name, func(t *testing.T) {
			var all [len(sent)]*staged // one for each signal, so that the long stages pass together
			for i, s := range sent {
				all[i] = stage.reach(t, b.in(t), fmt.Sprintf("stage-%s-%d-%d", stage.name, os.Getpid(), s))
				all[i].send(s)
				if stage.fates[i] == ignored { // now and later
					passes(100 * time.Millisecond)
					all[i].send(s)
					passes(50 * time.Millisecond)
					all[i].early = all[i].isDone()
				}
			}
			for i, s := range sent {
				t.Run(unix.SignalName(s), func(t *testing.T) {
					all[i].t = t
					b := b.in(t)
					switch stage.fates[i] {
					case ends:
						all[i].hasEnded(b, s)
					case forwarded:
						all[i].hasForwarded(s)
					case ignored:
						all[i].hasIgnored(s)
					}
					eventually(t, func() bool { return !alive(all[i].guard) }, "the guard to end")
					eventually(t, func() bool { return !b.exists(all[i].lock) && b.waiters(all[i].lock) == 0 },
						"the lock to be free")
					all[i].noneLeft()
				})
			}
		})
	}
}

func (s *staged) hasEnded(b *broker, by syscall.Signal) {
	s.t.Helper()
	if got := s.end(); got != 128+int(by) {
		s.t.Errorf("exit status %d, want %d", got, 128+int(by))
	}
	if died := s.diedOf(); died > 0 != (by == syscall.SIGINT) {
		s.t.Errorf("amqprun itself died of %d; it should of SIGINT and of nothing else", died)
	}
	eventually(s.t, func() bool { return b.waiters(s.lock) == s.behind },
		"the place in the queue to be given up")
	s.settle(by)
	if got := s.read("log"); got != "" {
		s.t.Errorf("the command was started: %q", got)
	}
}

func (s *staged) hasForwarded(sig syscall.Signal) {
	s.t.Helper()
	want := s.log + sig.String() + "\n"
	eventually(s.t, func() bool { return strings.HasPrefix(s.read("log"), want) },
		"the command to get %v", sig)
	if got := s.read("log"); got != want {
		s.t.Errorf("the command got %q, want %q", got, want)
	}
	s.settle(sig)
	if got := s.end(); got != s.code {
		s.t.Errorf("exit status %d, want %d", got, s.code)
	}
}

func (s *staged) hasIgnored(sig syscall.Signal) {
	s.t.Helper()
	if s.early {
		s.t.Errorf("ended at once")
	}
	if got := s.read("log"); got != s.log {
		s.t.Errorf("the command wrote %q, want %q", got, s.log)
	}
	s.settle(sig)
	if got := s.end(); got != s.code {
		s.t.Errorf("exit status %d, want %d", got, s.code)
	}
	if got := s.read("log"); got != s.left {
		s.t.Errorf("the command wrote %q, want %q", got, s.left)
	}
}

// amqprun prepares a process of amqprun itself, with a broker other than the test's
// unless broker is empty.
func amqprun(t *testing.T, broker string, args ...string) *process {
	t.Helper()
	p := withProgram(t, nil)
	p.Args = append([]string{"amqprun"}, args...)
	if broker != "" {
		p.Env = append(p.Env, "AMQPRUN_URL="+broker)
	}
	return p
}

// untilGo is a command that ends, with status 7, when there is a file go.
const untilGo = `echo ready >>log; while ! [ -e go ]; do sleep 0.01; done; exit 7`

// let makes the file that untilGo waits for.
func (p *process) let() {
	p.t.Helper()
	if err := os.WriteFile(p.path("go"), nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// connecting: somebody has accepted the connection, has read the greeting, and says
// nothing.
func connecting(t *testing.T, _ *broker, lock string) *staged {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := amqprun(t, "amqp://"+l.Addr().String()+"/", "--connect-timeout", "1h", "-n",
		"--mutex", lock, "--", "sh", "-c", "echo ready >>log")
	p.begin()
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.ReadFull(conn, make([]byte, len("AMQP")+4)); err != nil {
		t.Fatal(err)
	}
	return &staged{process: p, lock: lock, code: 69, settle: func(syscall.Signal) {
		l.Close()
		conn.Close()
	}}
}

// waiting: another amqprun holds the mutex, and a third stands behind, who has to get it
// in the end.
func waiting(t *testing.T, b *broker, lock string) *staged {
	holder := amqprun(t, "", "--mutex", lock, "--", "sh", "-c", untilGo)
	holder.begin()
	holder.await("log", "ready")
	var line [2]*process
	for i := range line {
		line[i] = amqprun(t, "", "--mutex", lock, "--", "sh", "-c", "echo ready >>log")
		line[i].begin()
		eventually(t, func() bool { return b.waiters(lock) == i+1 }, "%d in the line", i+1)
	}
	s := &staged{process: line[0], lock: lock, behind: 1, left: "ready\n"}
	s.settle = func(syscall.Signal) {
		holder.t, line[1].t = s.t, s.t
		holder.let()
		if got := holder.end(); got != 7 {
			s.t.Errorf("the holder ended with %d, want 7", got)
		}
		if got := line[1].end(); got != 0 || line[1].read("log") != "ready\n" {
			s.t.Errorf("the next ended with %d after %q", got, line[1].read("log"))
		}
	}
	return s
}

func running(t *testing.T, _ *broker, lock string) *staged {
	p := amqprun(t, "", "--mutex", lock, "--", os.Args[0], "print-signals", "log")
	p.begin()
	p.await("log", "ready")
	return &staged{process: p, lock: lock, guard: p.guard(), log: "ready\n", code: 3,
		settle: func(s syscall.Signal) {
			if s != syscall.SIGTERM {
				p.send(syscall.SIGTERM)
			}
		}}
}

// stopping: the lock is lost, and the command, which does not die of SIGTERM, is in its
// grace. That is long: only a second INT or TERM ends it.
func stopping(t *testing.T, b *broker, lock string) *staged {
	way, through := b.behindProxy()
	p := amqprun(t, through, "--heartbeat", "60s", "--kill-after", "60s", "--mutex", lock, "--",
		os.Args[0], "count-terms", "log")
	p.begin()
	p.await("log", "ready")
	guard := p.guard()
	way.Cut(true)
	p.await("log", "terminated")
	return &staged{process: p, lock: lock, guard: guard, log: "ready\nterminated\n", code: 76,
		settle: func(s syscall.Signal) {
			if s != syscall.SIGINT {
				s = syscall.SIGTERM
			}
			p.sendUntilEnd(s)
		}}
}

// releasing: the command has ended and been collected, and the broker does not answer;
// amqprun hangs until it gives up.
func releasing(t *testing.T, b *broker, lock string) *staged {
	way, through := b.behindProxy()
	p := amqprun(t, through, "--mutex", lock, "--", "sh", "-c", "echo $$ >pid; "+untilGo)
	p.begin()
	command, guard := p.pid("pid"), p.guard()
	p.await("log", "ready")
	way.Break(proxy.Blackhole(), proxy.Blackhole())
	p.let()
	eventually(t, func() bool { return state(command) == 0 }, "the command to be collected")
	s := &staged{process: p, lock: lock, guard: guard, log: "ready\n", left: "ready\n", code: 7}
	s.settle = func(syscall.Signal) {
		s.end()
		way.Cut(true) // the end of the connection has not come through either
	}
	return s
}

// broker is the test's own connection.
type broker struct {
	t    *testing.T
	conn *amqp.Connection
	url  string
}

func dial(t *testing.T) *broker {
	t.Helper()
	b := &broker{t: t, url: os.Getenv("AMQPRUN_URL")}
	if b.url == "" {
		t.Skip("needs a broker: AMQPRUN_URL is not set")
	}
	var err error
	if b.conn, err = amqp.Dial(b.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.conn.Close() })
	return b
}

// in is b for a subtest.
func (b broker) in(t *testing.T) *broker {
	b.t = t
	return &b
}

// behindProxy starts a proxy and returns the broker's URL through it.
func (b *broker) behindProxy() (*proxy.Proxy, string) {
	b.t.Helper()
	through, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	way, err := proxy.Listen(through.Host)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(way.Close)
	through.Host = way.Addr()
	return way, through.String()
}

// ask runs f on a channel of its own, because a refusal closes it, and returns the
// refusal's number.
func (b *broker) ask(f func(*amqp.Channel) error) (refusal int) {
	b.t.Helper()
	channel, err := b.conn.Channel()
	if err != nil {
		b.t.Fatal(err)
	}
	defer channel.Close()
	var refused *amqp.Error
	if err = f(channel); err != nil && !errors.As(err, &refused) {
		b.t.Fatal(err)
	}
	if refused != nil {
		return refused.Code
	}
	return 0
}

// exists reports whether anybody holds the mutex.
func (b *broker) exists(mutex string) bool {
	return b.ask(func(c *amqp.Channel) error {
		_, err := c.QueueDeclarePassive(mutex, false, false, true, false, nil)
		return err
	}) != amqp.NotFound
}

// waiters counts the consumers of the wait queue.
func (b *broker) waiters(lock string) (n int) {
	b.ask(func(c *amqp.Channel) error {
		line, err := c.QueueDeclarePassive(lock+"-W", true, false, false, false, nil)
		n = line.Consumers
		return err
	})
	return n
}
