package wrapper

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sys/unix"
)

// TestSignalBetweenGrantAndStart: the signals that end a waiter are never lost in the
// instant in which it becomes a holder. They come at moments from before the grant until
// after the start; whatever they meet, the command does not run without having got them.
func TestSignalBetweenGrantAndStart(t *testing.T) {
	t.Parallel()
	b := dial(t)
	for _, sig := range sent {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			b, lock := b.in(t), fmt.Sprintf("instant-%d-%d", os.Getpid(), sig)
			took := b.untilStart(t, lock, func(*process) {})
			var ran, rounds int
			begun := time.Now()
			for _, moment := range []float64{0.5, 1, 0.25, 0.75, 0, 1.25} {
				if rounds >= 3 && time.Since(begun) > 2*time.Second {
					break // the machine is busy
				}
				rounds++
				b.untilStart(t, lock, func(p *process) {
					passes(time.Duration(moment * float64(took)))
					p.send(sig)
					if sig == syscall.SIGUSR1 || sig == syscall.SIGUSR2 { // ignored before the grant
						eventually(t, func() bool { return p.read("log") != "" || p.isDone() },
							"the command to start")
						_ = p.Process.Signal(syscall.SIGTERM)
					}
					if p.endsOfOne(sig) {
						ran++
					}
				})
			}
			t.Logf("%v from the grant to the start; %d of %d commands got the signal", took, ran, rounds)
		})
	}
}

// catcher is a command that ends with status 3 at the first signal, which it writes down.
var catcher = func() string {
	script := "ulimit -c 0; "
	for _, s := range sent {
		script += fmt.Sprintf("trap 'echo %v >>log; exit 3' %d; ", s, s)
	}
	return script + "echo ready >>log; while :; do sleep 0.01; done"
}()

// untilStart gives the mutex to a waiter, calls then, and returns how long the grant and
// the start of the command took.
func (b *broker) untilStart(t *testing.T, lock string, then func(*process)) (took time.Duration) {
	t.Helper()
	var holder *amqp.Channel
	eventually(t, func() bool {
		var err error
		if holder, err = b.conn.Channel(); err == nil {
			_, err = holder.QueueDeclare(lock, false, false, true, false, nil)
		}
		return err == nil
	}, "the lock to be free")
	defer holder.Close()
	p := amqprun(t, "", "-v", "--mutex", lock, "--", "sh", "-c", catcher)
	p.begin()
	eventually(t, func() bool { return b.waiters(lock) == 1 }, "the waiter to be in line")
	if _, err := holder.QueueDelete(lock, false, false, false); err != nil {
		t.Fatal(err)
	}
	if err := holder.Publish("", lock+"-W", false, false, amqp.Publishing{}); err != nil {
		t.Fatal(err)
	}
	granted := time.Now()
	if then(p); !p.isDone() {
		p.await("log", "ready")
		took = time.Since(granted)
		p.send(syscall.SIGTERM)
	}
	p.end()
	eventually(t, func() bool { return b.waiters(lock) == 0 }, "the waiter to go")
	p.noneLeft()
	return took
}

// endsOfOne checks the end of a catcher that was sent s, and reports whether it ran and
// got it.
func (p *process) endsOfOne(s syscall.Signal) (ran bool) {
	p.t.Helper()
	code, log := p.end(), p.read("log")
	harmless := s == syscall.SIGUSR1 || s == syscall.SIGUSR2
	if harmless { // SIGTERM came after it
		log = strings.TrimSuffix(log, "terminated\n")
	}
	switch {
	// perhaps between its traps and "ready"
	case code == 3 && strings.TrimPrefix(log, "ready\n") == s.String()+"\n":
		return true
	case code == 3 && log == "ready\n" && harmless:
	case code == 128+int(s) && log == "": // before its traps at the latest
		if died := p.diedOf(); died > 0 != (s == syscall.SIGINT) {
			p.t.Errorf("amqprun itself died of %d; it should of SIGINT and of nothing else", died)
		}
	default:
		p.t.Errorf("exit status %d after %q", code, log)
	}
	return false
}
