package wrapper

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCtrlZStopsBothAndFgResumesAfterVerification(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`AW -guard -lease 1m -verify verify -- sh -c 'echo $$ >pid; echo $PPID >wrapper; ` +
			`exec sleep 300'`)
		command, wrapper := s.pid("pid"), s.pid("wrapper")
		for round := 1; round <= 3; round++ {
			s.key(ctrlZ)
			s.expect("stopped; the lock ends in")
			s.expect("$> ")
			s.awaitState(command, "T")
			s.awaitState(wrapper, "T")
			s.line("fg")
			s.awaitState(command, "S")
			s.awaitState(wrapper, "S")
			if got := strings.Count(s.read("verify.asked"), "\n"); got != round {
				t.Errorf("verified %d times in %d rounds", got, round)
			}
		}
		s.key(ctrlC)
		s.expectStatus(130)
	})
}

// TestCtrlZDuringTheGrace: the command has ended at the stop signal, a part of its tree
// has not. A stopped amqprun could not kill that when the grace is over.
func TestCtrlZDuringTheGrace(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		// The grace is for two shells and a Ctrl-Z, on a busy machine too.
		s.line(`mkfifo lose; AW -lose lose -kill-after 4s -- sh -c 'trap "echo term >>log; exit" TERM; ` +
			`sh -c "trap : TERM; echo \$\$ >pid; while :; do sleep 0.01; done" & echo $$ >leader; ` +
			`while :; do sleep 0.01; done'`)
		left, leader := s.pid("pid"), s.pid("leader")
		release(t, s.file("lose"))
		s.await("term")
		eventually(t, func() bool { return !alive(leader) }, "the leader to end")
		s.key(ctrlZ)
		eventually(t, func() bool { return !alive(left) }, "the rest to be killed")
		s.expectStatus(76)
	})
}

// TestStopDuringTheGrace: a command that is stopped in its grace is woken, so that it can
// clean up.
func TestStopDuringTheGrace(t *testing.T) {
	t.Parallel()
	p := lost(t, []string{"-kill-after", "1h"}, "sh", "-c",
		`trap "echo term >>log; kill -STOP $$; echo clean >>log; exit" TERM; echo ready >>log; `+
			`while :; do sleep 0.01; done`)
	p.await("log", "term")
	p.endsLost()
	p.await("log", "clean")
}

// TestFgContinuesTheCommandOnce: a second SIGCONT, passed on late, would undo a Ctrl-Z
// that has come in between.
func TestFgContinuesTheCommandOnce(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`AW -guard -- sh -c 'echo $$ >pid; echo $PPID >wrapper; exec "$W" print-signals log'`)
		command, wrapper := s.pid("pid"), s.pid("wrapper")
		s.await("ready")
		want := "ready\n"
		for range 5 {
			s.key(ctrlZ)
			s.expect("$> ")
			s.awaitState(command, "T")
			s.awaitState(wrapper, "T")
			s.line("fg")
			want += "continued\n"
			eventually(t, func() bool { return s.read("log") == want }, "the command to go on")
			_ = syscall.Kill(wrapper, syscall.SIGUSR1)
			want += "user defined signal 1\n"
			eventually(t, func() bool {
				return strings.Count(s.read("log"), "\n") >= strings.Count(want, "\n")
			}, "SIGUSR1")
			if got := s.read("log"); got != want {
				t.Fatalf("the command got %q, want %q", got, want)
			}
		}
		_ = syscall.Kill(wrapper, syscall.SIGTERM)
		s.expectStatus(3)
	})
}

func TestCtrlZWithTheTerminalHandedOver(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		// A shell's child that has not executed its program yet ignores Ctrl-Z. That of dash
		// gives the terminal to its job before. So it has to be up before the command asks.
		s.line(`A sh -c 'until [ -s log ]; do sleep 0.01; done; `+
			`exec "$@"' sh %s | sh -c 'echo up >>log; exec cat'`, asker)
		s.await("asking")
		for range 2 {
			awaitForeground(s)
			s.key(ctrlZ)
			s.expect("$> ")
			s.awaitState(s.pid("pid"), "T")
			s.awaitState(s.pid("wrapper"), "T")
			s.line("fg")
		}
		awaitForeground(s)
		s.line("word")
		s.expect("got=<word>")
		s.expect("$> ")
	})
}

func TestBackgroundJobThatReadsTheTerminal(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A %s &`, asker)
		command, wrapper := s.pid("pid"), s.pid("wrapper")
		s.awaitState(command, "T")
		s.awaitState(wrapper, "T")
		s.expectStoppedJob()
		s.line("fg")
		s.awaitState(command, "S")
		s.line("word")
		s.expect("got=<word>")
		s.expectStatus(5)
	})
}

func TestBackgroundJobThatDoesNot(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A sh -c 'echo $$ >pid; while ! [ -e release ]; do sleep 0.01; done; ` +
			`echo "background=<$((6*7))>"' &`)
		s.awaitState(s.pid("pid"), "SR")
		s.line(`echo "shell=<$((2+3))>"`)
		s.expect("shell=<5>")
		s.line("touch release")
		s.expect("background=<42>")
	})
}

// TestOrphanedJobThatReadsTheTerminal: there is no shell that could ever resume it, so it
// must not stop for ever.
func TestOrphanedJobThatReadsTheTerminal(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`(A sh -c 'echo $PPID >wrapper; trap "echo hup >>log; exit" HUP; ` +
			`while ! [ -e release ]; do sleep 0.01; done; read x </dev/tty; echo "read $?" >>log' &)`)
		wrapper := s.pid("wrapper")
		s.expect("$> ") // until the subshell has ended the terminal is its group's
		if err := os.WriteFile(s.file("release"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s.await("hup")
		eventually(t, func() bool { return !alive(wrapper) }, "the wrapper to end")
	})
}

func TestFailedVerificationKillsInsteadOfResuming(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`AW -guard -verify verify -kill-after 1h -- "$W" tick log`)
		command := s.pid("pid")
		s.key(ctrlZ)
		s.expect("$> ")
		s.awaitState(command, "T")
		before := s.read("log")
		s.line("touch verify; fg")
		s.expect("verification failed")
		s.expectStatus(76)
		if after := s.read("log"); after != before {
			t.Errorf("the command went on: %q", strings.TrimPrefix(after, before))
		}
	})
}

// TestNothingResumesTheCommandBeforeVerification: SIGCONT is forwarded, but not then.
func TestNothingResumesTheCommandBeforeVerification(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`mkfifo slow; AW -guard -verify-fifo slow -- sh -c 'echo $$ >pid; echo $PPID >wrapper; ` +
			`exec sleep 300'`)
		command, wrapper := s.pid("pid"), s.pid("wrapper")
		s.key(ctrlZ)
		s.expect("$> ")
		s.awaitState(command, "T")
		s.line("fg")
		s.awaitState(wrapper, "S")
		for range 5 {
			_ = syscall.Kill(wrapper, syscall.SIGCONT)
			passes(10 * time.Millisecond)
			if got := state(command); got != 'T' {
				t.Fatalf("the command is in state %c", got)
			}
		}
		release(t, s.file("slow"))
		s.awaitState(command, "S")
		s.key(ctrlC)
		s.expectStatus(130)
	})
}

func TestStopBeyondTheLeaseEndsTheCommand(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`AW -guard -verify verify -lease 4s -renew 100ms -kill-after 200ms -- "$W" tick log`)
		command := s.pid("pid")
		s.key(ctrlZ)
		s.expect("$> ")
		s.awaitState(command, "T")
		before := s.read("log")
		eventually(t, func() bool { return !alive(command) }, "the guard to kill the command")
		if after := s.read("log"); after != before {
			t.Errorf("the command went on: %q", strings.TrimPrefix(after, before))
		}
		s.line("touch verify; fg")
		s.expectStatus(76)
	})
}

func TestCtrlZAgainWhileVerifying(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`mkfifo slow; AW -guard -verify-fifo slow -- sh -c 'echo $$ >pid; echo $PPID >wrapper; ` +
			`exec sleep 300'`)
		command, wrapper := s.pid("pid"), s.pid("wrapper")
		for range 3 {
			s.key(ctrlZ)
			s.expect("$> ")
			s.awaitState(command, "T")
			s.awaitState(wrapper, "T")
			s.line("fg")
			s.awaitState(wrapper, "S")
		}
		if got := state(command); got != 'T' {
			t.Errorf("the command is in state %c", got)
		}
		// the newest verification may not have come to wait yet, when the others are let go
		eventually(t, func() bool {
			if f, err := os.OpenFile(s.file("slow"), os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
				f.Close()
			}
			return state(command) == 'S'
		}, "the command to go on")
		s.key(ctrlC)
		s.expectStatus(130)
	})
}

// TestStoppedCommandAloneKeepsTheLock: SIGSTOP to the command is nobody's Ctrl-Z.
func TestStoppedCommandAloneKeepsTheLock(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A sh -c 'echo $$ >pid; echo $PPID >wrapper; while ! [ -e release ]; do sleep 0.01; ` +
			`done; exit 6'`)
		command, wrapper := s.pid("pid"), s.pid("wrapper")
		_ = syscall.Kill(command, syscall.SIGSTOP)
		s.awaitState(command, "T")
		passes(50 * time.Millisecond)
		if got := state(wrapper); got == 'T' {
			t.Error("the wrapper has stopped too")
		}
		_ = syscall.Kill(command, syscall.SIGCONT)
		s.awaitState(command, "SR")
		if err := os.WriteFile(s.file("release"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s.expectStatus(6)
	})
}

// TestSessionLeaderCannotBeStopped: the kernel discards our stop, as in a container, and
// the command goes on.
func TestSessionLeaderCannotBeStopped(t *testing.T) {
	t.Parallel()
	s := onTerminal(t, os.Args[0], "wrap", "-guard", "-verify", "verify", "--", "sh", "-c",
		`echo asking >>log; read x </dev/tty; echo "got=<$x>"; `+
			`read x </dev/tty; echo "then=<$x>"`)
	s.await("asking")
	awaitForeground(s)
	s.key(ctrlZ)
	passes(20 * time.Millisecond)
	s.line("word")
	s.expect("got=<word>")
	s.key(ctrlZ)
	passes(20 * time.Millisecond)
	s.line("again")
	s.expect("then=<again>")
}
