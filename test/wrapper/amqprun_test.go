package wrapper

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/proxy"
	"github.com/amqprun/amqprun/test/program"
)

// inShellsWithProgram is inShells, first with the test's own wrapper and then with
// amqprun holding a mutex.
func inShellsWithProgram(t *testing.T, test func(t *testing.T, s *shell)) {
	t.Helper()
	inShells(t, test)
	t.Run("amqprun", func(t *testing.T) {
		path := mustProgram(t)
		inShells(t, func(t *testing.T, s *shell) {
			lock := fmt.Sprintf("wrapper-test-%d-%s", os.Getpid(), filepath.Base(filepath.Dir(s.dir)))
			s.script("A", "exec "+path+" --mutex "+lock+` -- "$@"`)
			test(t, s)
		})
	})
}

// TestNextHolderStartsWhenTheKilledOnesTreeIsDead: the whole point of the guard.
func TestNextHolderStartsWhenTheKilledOnesTreeIsDead(t *testing.T) {
	t.Parallel()
	first := withProgram(t, []string{"--kill-after", "3s"}, "sh", "-c",
		stubborn+`stubborn env; echo $$ >leader; sleep 300`)
	first.begin()
	daemon, leader := first.pid("pid"), first.pid("leader")
	guard := first.guard()
	if own := memory(t, guard); own > 2<<10 {
		t.Errorf("the guard occupies %d KiB of its own", own)
	}
	next := withProgram(t, nil, "sh", "-c", fmt.Sprintf("cat /proc/%d/status /proc/%d/status "+
		"2>/dev/null | grep -c '^State:.[^ZX]' >alive", leader, daemon))
	next.begin()
	first.send(syscall.SIGKILL)
	if got := next.end(); got != 1 || next.read("alive") != "0\n" {
		t.Errorf("exit status %d, want grep's 1; %q of the old tree were alive", got, next.read("alive"))
	}
	first.await("log", "got")
	first.noneLeft()
}

// TestKillReachesDaemonsOfInnerLocks: their AMQPRUN_ID is the inner one.
func TestKillReachesDaemonsOfInnerLocks(t *testing.T) {
	t.Parallel()
	const daemon = `(setsid sleep 300 & echo $! >pid)`
	for name, script := range map[string]string{
		"run":  `"$0" --mutex "$1" -- sh -c '` + daemon + `'`,
		"hold": `eval "$("$0" hold --mutex "$1")"; ` + daemon,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := withProgram(t, nil, "sh", "-c", script+"; echo ready >log; sleep 300",
				mustProgram(t), program.LockName(t))
			p.begin()
			p.await("log", "ready")
			daemon := p.pid("pid")
			p.guard()
			p.send(syscall.SIGKILL)
			eventually(t, func() bool { return !alive(daemon) }, "the daemon to end")
		})
	}
}

func TestStoppedAmqprunLosesItsLockAndItsCommand(t *testing.T) {
	t.Parallel()
	p := withProgram(t, []string{"--heartbeat", "5s", "--check-interval", "500ms", "--kill-after",
		"4s"}, "sh", "-c", `trap "echo got >>log" TERM; echo $$ >pid; while :; do sleep 0.01; done`)
	p.begin()
	command := p.pid("pid")
	p.guard()
	p.send(syscall.SIGSTOP)
	eventually(t, func() bool { return !alive(command) }, "the guard to kill the command")
	p.await("log", "got")
	p.send(syscall.SIGCONT)
	if got := p.end(); got != 76 {
		t.Errorf("exit status %d, want 76", got)
	}
	p.noneLeft()
}

// TestCutDuringTheRelease: the connections end when amqprun deletes the lock's queue. The
// command had ended under the lock, with a status of its own.
func TestCutDuringTheRelease(t *testing.T) {
	t.Parallel()
	b := dial(t)
	lock := program.LockName(t)
	t.Cleanup(func() { program.Run(t, nil, "destroy", "--mutex", lock) })
	way, through := b.behindProxy()
	p := amqprun(t, through, "--history", "--mutex", lock, "--", "sh", "-c", untilGo)
	p.begin()
	p.await("log", "ready")
	way.Break(proxy.At(50, 40, func() { // queue.delete
		way.Break(proxy.None(), proxy.None())
		way.Cut(true)
	}), proxy.None())
	p.let()
	if got := p.end(); got != 7 {
		t.Errorf("exit status %d, want 7", got)
	}
	p.noneLeft()
	history := program.Run(t, nil, "history", "--json", "--mutex", lock).Stdout
	if !strings.Contains(history, `"result":"ended","status":7`) {
		t.Errorf("the history has %s", history)
	}
}

// unread is a pipe that is full, for standard error; read empties it and returns, at the
// end, all that came after.
func unread(t *testing.T, p *process) (read func() string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	filled := 0
	_ = raw.Write(func(fd uintptr) bool { // os.Pipe does not block
		for {
			n, err := syscall.Write(int(fd), make([]byte, 1<<12))
			if filled += max(n, 0); err != nil {
				return true
			}
		}
	})
	_ = w.Fd() // and now it does
	p.Stderr = w
	return func() string {
		w.Close()
		if _, err := io.CopyN(io.Discard, r, int64(filled)); err != nil {
			t.Fatal(err)
		}
		said := make(chan string)
		go func() {
			all, _ := io.ReadAll(r)
			said <- string(all)
		}()
		p.release()
		return <-said
	}
}

// TestUnreadMessagesHoldNothingUp: a standard error that nobody reads, as that of a pager
// that shows its first page.
func TestUnreadMessagesHoldNothingUp(t *testing.T) {
	t.Parallel()
	const command = `exec 2>/dev/null; trap "echo term >>log" TERM; echo ready >>log; ` +
		`while ! [ -e release ]; do sleep 0.01; done; exit 3`
	start := func(t *testing.T) (*process, func() string) {
		p := withProgram(t, []string{"-v", "--heartbeat", "3s", "--check-interval", "500ms", "-k", "1"},
			"sh", "-c", command)
		read := unread(t, p)
		p.begin()
		p.await("log", "ready")
		return p, read
	}
	t.Run("checks", func(t *testing.T) {
		t.Parallel()
		p, read := start(t)
		passes(7 * time.Second) // longer than the lease
		if said := read(); !strings.Contains(said, " messages are missing here") {
			t.Errorf("it has said %q", said)
		}
		if got := p.end(); got != 3 {
			t.Errorf("exit status %d, want 3", got)
		}
	})
	t.Run("signals", func(t *testing.T) {
		t.Parallel()
		p, _ := start(t)
		p.send(syscall.SIGTERM)
		p.await("log", "term")
		passes(120 * time.Millisecond)
		p.send(syscall.SIGTERM)
		if got := p.end(); got != 137 {
			t.Errorf("exit status %d, want 137", got)
		}
	})
}
