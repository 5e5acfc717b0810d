package wrapper

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/amqprun/amqprun/test/program"
)

// TestWatchOutlivesTheBroker: it shows that the broker is away, and what there is when it
// has come. One that is ending or starting refuses a login.
func TestWatchOutlivesTheBroker(t *testing.T) {
	t.Parallel()
	path := mustProgram(t)
	broker, err := url.Parse(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		t.Fatal(err)
	}
	address := program.FreeAddress(t) // nobody listens there until the broker "comes"
	away := *broker
	away.Host = address
	s := onTerminal(t, path, "status", "--watch", "--mutex", "wrapper-watch", "--url", away.String())
	s.expect("amqprun: error: cannot reach the broker amqp://" + address)
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err) // somebody else has taken the port
	}
	defer l.Close()
	next := make(chan string, 1) // for the next connection; "end" is for all until the one after
	go func() {
		for ends := false; ; {
			client, err := l.Accept()
			if err != nil {
				return
			}
			var asks io.Reader = client
			select {
			case how := <-next:
				if ends = how == "end"; !ends {
					asks = misnamed{client, broker.User.Username()}
				}
			default:
			}
			if ends {
				client.Close()
				continue
			}
			server, err := net.Dial("tcp", broker.Host)
			if err != nil {
				client.Close()
				return
			}
			go func() { _, _ = io.Copy(server, asks); server.Close() }()
			go func() { _, _ = io.Copy(client, server); client.Close() }()
		}
	}()
	s.expect(`mutex "wrapper-watch": free`)
	for _, how := range []string{"refuse", "end", "refuse"} {
		next <- how
		s.expect(map[string]string{
			"refuse": "refused the login", "end": ": it closed",
		}[how])
	}
	s.expect(`mutex "wrapper-watch": free`)
}

// misnamed logs in by another name, which is as long.
type misnamed struct {
	io.Reader
	user string
}

func (s misnamed) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	user := []byte("\x00" + s.user + "\x00")
	other := []byte("\x00" + strings.Repeat("?", len(s.user)) + "\x00")
	copy(p, bytes.ReplaceAll(p[:n], user, other))
	return n, err
}

// TestWatchEndsWithItsTerminal: also one that is no controlling terminal, whose end sends
// no signal.
func TestWatchEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	path := mustProgram(t)
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd := exec.Command(path, "status", "--watch", "--mutex", "wrapper-watch")
	cmd.Stdout, cmd.Stderr = tty, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	if _, err := master.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	master.Close()
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 125 ||
		!strings.Contains(stderr.String(), "amqprun: error: the terminal is gone: ") {
		t.Errorf("exit status %d: %s", got, &stderr)
	}
}
