package wrapper

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/wrapper/wrap"
)

// TestChildrenFromBeforeAreNoOrphans: a shell that executes amqprun in its own place
// leaves it its children, such as one that takes in the output of both. amqprun would
// wait for them for ever.
func TestChildrenFromBeforeAreNoOrphans(t *testing.T) {
	t.Parallel()
	option, now := lose(t)
	for name, options := range map[string][]string{
		"wait": {"-orphans", "1"}, "kill": {"-orphans", "2"}, "loss": option,
	} {
		t.Run(name, func(t *testing.T) {
			p := prepare(t)
			p.Path = mustLook(t, "bash")
			command := "exit 6"
			if name == "loss" {
				command = "echo ready >>log; exec sleep 300"
			}
			p.Args = append([]string{"bash", "-c", `exec > >(trap "" HUP; echo $BASHPID >pid; ` +
				`while read -r line; do :; done; echo end >>before); until [ -s pid ]; do :; done; ` +
				`sleep 0.05; exec "$@"`, "bash",
				os.Args[0], wrap.Word, "-guard", "-kill-after", "50ms"}, options...)
			p.Args = append(p.Args, "--", "sh", "-c", command)
			p.begin()
			want := 6
			if name == "loss" {
				p.await("log", "ready")
				now()
				want = wrap.ExitLost
			}
			if got := p.end(); got != want {
				t.Errorf("exit status %d, want %d", got, want)
			}
			p.await("before", "end") // and not killed before
		})
	}
}

func TestOrphansOfANormalEnd(t *testing.T) {
	t.Parallel()
	const command = `setsid sh -c 'echo $$ >pid; while ! [ -e release ]; do sleep 0.01; done; ` +
		`echo end >>log' & while ! [ -s pid ]; do sleep 0.01; done; exit 6`
	t.Run("are left alone", func(t *testing.T) {
		p := start(t, "-guard", "-v", "--", "sh", "-c", command)
		if got := p.end(); got != 6 {
			t.Errorf("exit status %d, want 6", got)
		}
		if !alive(p.pid("pid")) {
			t.Error("the orphan was killed")
		}
		if !strings.Contains(p.stderr.String(), "left ") {
			t.Error("with -v nothing was said")
		}
	})
	t.Run("are waited for", func(t *testing.T) {
		p := start(t, "-guard", "-orphans", "1", "--", "sh", "-c", command)
		pid := p.pid("pid")
		passes(100 * time.Millisecond)
		select {
		case <-p.done:
			t.Fatal("did not wait")
		default:
		}
		if !alive(pid) {
			t.Error("the orphan was killed")
		}
		p.release()
		if got := p.end(); got != 6 {
			t.Errorf("exit status %d, want 6", got)
		}
		if alive(pid) {
			t.Error("the orphan is alive")
		}
		p.await("log", "end")
	})
	t.Run("are waited for until the loss", func(t *testing.T) {
		option, now := lose(t)
		p := start(t, append(option, "-guard", "-orphans", "1", "-kill-after", "50ms", "--", "sh", "-c",
			command)...)
		pid := p.pid("pid")
		now()
		p.endsLost()
		if alive(pid) {
			t.Error("the orphan is alive")
		}
	})
	t.Run("are killed", func(t *testing.T) {
		p := start(t, "-guard", "-orphans", "2", "-kill-after", "50ms", "--", "sh", "-c", command)
		if got := p.end(); got != 6 {
			t.Errorf("exit status %d, want 6", got)
		}
		if alive(p.pid("pid")) {
			t.Error("the orphan is alive")
		}
	})
	t.Run("get the stop signal", func(t *testing.T) {
		p := start(t, "-guard", "-orphans", "2", "-kill-after", "1h", "--", "sh", "-c",
			`sh -c 'trap "echo term >>log; exit" TERM; echo $$ >pid; while :; do sleep 0.01; done' & `+
				`while ! [ -s pid ]; do sleep 0.01; done; exit 6`)
		if got := p.end(); got != 6 {
			t.Errorf("exit status %d, want 6", got)
		}
		p.await("log", "term")
	})
}

// release makes the file that the command waits for.
func (p *process) release() {
	p.t.Helper()
	if err := os.WriteFile(p.path("release"), nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
}
