package wrapper

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/signals"
)

// listener starts a wrapper whose command writes down the signals it gets.
func listener(t *testing.T, options ...string) *process {
	t.Helper()
	p := prepare(t, append(options, "--", os.Args[0], "print-signals", "log")...)
	p.begin()
	p.await("log", "ready")
	return p
}

func TestSignalsAreForwardedVerbatimAndOnce(t *testing.T) {
	t.Parallel()
	p := listener(t, "-guard")
	var want strings.Builder
	want.WriteString("ready\n")
	mortal := func(s syscall.Signal) bool { return s == syscall.SIGTERM }
	for _, s := range append(slices.DeleteFunc(slices.Clone(signals.Forwarded), mortal),
		syscall.SIGTERM) {
		p.send(s)
		p.await("log", s.String())
		want.WriteString(s.String() + "\n")
	}
	if got := p.end(); got != 3 {
		t.Errorf("exit status %d, want 3", got)
	}
	if got := p.read("log"); got != want.String() {
		t.Errorf("the command got %q, want %q", got, want.String())
	}
}

// TestSignalsThatAreAmqprunsOwnAreNotForwarded: they speak of amqprun, not of the
// command.
func TestSignalsThatAreAmqprunsOwnAreNotForwarded(t *testing.T) {
	t.Parallel()
	p := prepare(t, "-guard", "--", "env", "GODEBUG=asyncpreemptoff=1", os.Args[0],
		"print-all-signals", "log")
	p.begin()
	p.await("log", "ready")
	want := "ready\n"
	for _, s := range []syscall.Signal{syscall.SIGURG, syscall.SIGCHLD, syscall.SIGPIPE,
		syscall.SIGXCPU, syscall.SIGXFSZ, syscall.SIGTTOU, syscall.SIGTTIN} {
		p.send(s)
		next := syscall.SIGUSR1
		// which stop the wrapper like any other process, where a shell could resume it
		if s == syscall.SIGTTOU || s == syscall.SIGTTIN {
			next = syscall.SIGCONT
		}
		p.send(next)
		want += next.String() + "\n"
		eventually(t, func() bool { return len(p.read("log")) >= len(want) }, "%v", next)
		if got := p.read("log"); got != want {
			t.Fatalf("%v: the command got %q, want %q", s, got, want)
		}
	}
	p.send(syscall.SIGTERM)
	if got := p.end(); got != 3 {
		t.Errorf("exit status %d, want 3", got)
	}
}

// TestGroupGetsForwardedSignals: a shell does not pass a signal on to what it runs, so a
// signal to the leader alone would be late.
func TestGroupGetsForwardedSignals(t *testing.T) {
	t.Parallel()
	p := start(t, "--", "sh", "-c", `trap : TERM; "$@"; exit 9`, "sh", os.Args[0], "print-signals",
		"log")
	p.await("log", "ready")
	p.send(syscall.SIGTERM)
	if got := p.end(); got != 9 {
		t.Errorf("exit status %d, want 9", got)
	}
	p.await("log", "terminated")
}

// TestTwoSignalsTogetherAreOne tries again for a while when the machine is too busy for
// the wrapper to see two signals within 100 ms.
func TestTwoSignalsTogetherAreOne(t *testing.T) {
	t.Parallel()
	for begun := time.Now(); time.Since(begun) < patience; {
		p := start(t, "--", "sh", "-c", `trap 'echo TERM >>log' TERM; trap 'exit 4' USR2; `+
			`echo ready >>log; while :; do sleep 0.01; done`)
		p.await("log", "ready")
		p.send(syscall.SIGTERM)
		p.await("log", "TERM")
		p.send(syscall.SIGTERM)
		p.send(syscall.SIGUSR2)
		if got := p.end(); got == 4 {
			if got := p.read("log"); got != "ready\nTERM\n" {
				t.Errorf("the command got %q", got)
			}
			return
		}
	}
	t.Error("the second SIGTERM killed the command each time")
}

func TestSecondTermKills(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "-kill-after", "1h", "--", "sh", "-c",
		`trap 'echo TERM >>log' TERM; setsid sh -c 'trap "" TERM; echo $$ >pid; while :; do sleep 1; `+
			`done' & echo ready >>log; while :; do sleep 0.01; done`)
	p.await("log", "ready")
	daemon := p.pid("pid")
	p.send(syscall.SIGTERM)
	p.await("log", "TERM")
	passes(120 * time.Millisecond)
	p.sendUntilEnd(syscall.SIGTERM)
	if got := p.end(); got != 137 {
		t.Errorf("exit status %d, want 137", got)
	}
	if alive(daemon) {
		t.Error("the rest of the tree is alive")
	}
}

func TestSecondInterruptIsTheCommandsToInterpret(t *testing.T) {
	t.Parallel()
	p := listener(t, "-kill-after", "1h")
	for n := 1; n <= 3; n++ {
		p.send(syscall.SIGINT)
		eventually(t, func() bool { return strings.Count(p.read("log"), "interrupt\n") == n },
			"interrupt %d", n)
		passes(120 * time.Millisecond)
	}
	p.send(syscall.SIGTERM)
	if got := p.end(); got != 3 {
		t.Errorf("exit status %d, want 3", got)
	}
}

// TestSignalRacingTheEnd: a signal that arrives while the command ends neither changes
// its status nor hits another process.
func TestSignalRacingTheEnd(t *testing.T) {
	t.Parallel()
	for range 50 {
		p := start(t, "--", "sh", "-c", `trap "" USR1; echo ready >log; exit 7`)
		p.await("log", "ready")
	storm:
		for {
			select {
			case <-p.done:
				break storm
			default:
				if p.Process.Signal(syscall.SIGUSR1) != nil {
					break storm
				}
			}
		}
		if got := p.end(); got != 7 && got != 128+int(syscall.SIGUSR1) {
			t.Fatalf("exit status %d, want 7", got)
		} else if got != 7 && p.diedOf() != syscall.SIGUSR1 {
			t.Fatal("the command's status became a death by signal")
		}
	}
}

// TestChangeHangsUpTheLeader: and nobody else, and not while the default action would
// kill it.
func TestChangeHangsUpTheLeader(t *testing.T) {
	t.Parallel()
	p := prepare(t, "-changed", "changed", "--", "sh", "-c",
		`sh -c 'echo ready >worker; while :; do sleep 0.01; done' & worker=$!
		echo ready >>log; until [ -e catch ]; do sleep 0.01; done
		trap 'echo hup >>log' HUP; echo catches >>log; until [ -e go ]; do sleep 0.01; done
		kill -0 $worker && kill $worker && exit 7`)
	if err := syscall.Mkfifo(p.path("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.begin()
	p.await("log", "ready")
	p.await("worker", "ready")
	release(t, p.path("changed"))
	release(t, p.path("changed")) // Run may look at this one when the leader catches SIGHUP
	if err := os.WriteFile(p.path("catch"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.await("log", "catches")
	release(t, p.path("changed"))
	p.await("log", "hup")
	p.let()
	if got := p.end(); got != 7 {
		t.Errorf("exit status %d, want 7", got)
	}
	if got := p.read("log"); strings.TrimRight(got, "hup\n") != "ready\ncatches" {
		t.Errorf("the leader wrote %q", got)
	}
}
