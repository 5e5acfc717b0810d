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

// TestCtrlZStopsThoseThatTheCommandHasLeft: the command has ended, and amqprun waits for
// the rest of its tree.
func TestCtrlZStopsThoseThatTheCommandHasLeft(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`AW -guard -lease 1m -verify verify -orphans 1 -- sh -c '"$W" tick log & echo $PPID ` +
			`>wrapper; echo $$ >leader; exit 5'`)
		orphan, wrapper, leader := s.pid("pid"), s.pid("wrapper"), s.pid("leader")
		s.awaitState(leader, "Z")
		eventually(t, func() bool { return foregroundOf(s.cmd.Process.Pid) == wrapper },
			"the wrapper to have the terminal")
		for range 2 {
			s.key(ctrlZ)
			s.expect("stopped; the lock ends in")
			s.expect("$> ")
			s.awaitState(orphan, "T")
			s.awaitState(wrapper, "T")
			s.line("fg")
			s.awaitState(orphan, "SR")
			s.awaitState(wrapper, "S")
		}
		if got := strings.Count(s.read("verify.asked"), "\n"); got != 2 {
			t.Errorf("verified %d times", got)
		}
		_ = syscall.Kill(orphan, syscall.SIGKILL)
		s.expectStatus(5)
	})
}

// TestFgContinuesThoseThatTheCommandHasLeft: the command has died while Ctrl-Z had
// stopped it and the rest of its group.
func TestFgContinuesThoseThatTheCommandHasLeft(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		orphan, _ := stoppedOrphan(s, "AW -lease 1m -verify verify")
		s.line("fg")
		s.awaitState(orphan, "SR")
		_ = syscall.Kill(orphan, syscall.SIGKILL)
		s.expectStatus(137)
	})
}

// TestSettingsWhileOrphansAreWaitedFor: a command that was killed could not restore the
// settings of the terminal. amqprun does so at once, or no key would reach it. When the
// wait is over the terminal may be another job's.
func TestSettingsWhileOrphansAreWaitedFor(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`AW -orphans 1 -- sh -c '"$W" tick log & echo $PPID >wrapper; echo $$ >leader; ` +
			`until [ -s log ]; do sleep 0.01; done; stty -echo -isig; kill -KILL $$'`)
		orphan, wrapper, leader := s.pid("pid"), s.pid("wrapper"), s.pid("leader")
		s.awaitState(leader, "Z")
		eventually(t, s.echoes, "the settings of the terminal")
		s.key(ctrlZ)
		s.expect("$> ")
		s.awaitState(wrapper, "T")
		s.line("bg")
		s.awaitState(orphan, "SR")
		s.line(`sh -c 'stty -echo; echo changed >>log; exec sleep 300'`)
		s.await("changed")
		_ = syscall.Kill(orphan, syscall.SIGKILL)
		eventually(t, func() bool { return !alive(wrapper) }, "the wrapper to end")
		if s.echoes() {
			t.Error("the settings of another job are changed")
		}
		s.key(ctrlC)
		s.expectStatus(130)
	})
}

// TestCtrlCReachesTheScriptBeforeOrphansEnd: it has ended the command, and is for the
// script too. Later the script may be in the background.
func TestCtrlCReachesTheScriptBeforeOrphansEnd(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.script("script", `"$W" print-signals log & `+
			`AW -orphans 1 -- sh -c 'sleep 300 & echo $! >pid; exec sleep 300'`)
		s.line("script")
		orphan := s.pid("pid")
		s.await("ready")
		s.awaitSleepInForeground()
		s.key(ctrlC)
		s.await("interrupt")
		if !alive(orphan) {
			t.Error("the orphan has ended")
		}
		_ = syscall.Kill(orphan, syscall.SIGKILL)
		s.expectStatus(130)
	})
}

// stoppedOrphan starts a command under a wrapper, stops both by Ctrl-Z, and kills the
// command. It returns a process that the command has left behind, and the wrapper.
func stoppedOrphan(s *shell, line string) (orphan, wrapper int) {
	s.t.Helper()
	s.line(`%s -guard -orphans 1 -- sh -c '"$W" tick log & echo $PPID >wrapper; `+
		`echo $$ >leader; wait'`, line)
	orphan, wrapper = s.pid("pid"), s.pid("wrapper")
	leader := s.pid("leader")
	s.await("run")
	s.key(ctrlZ)
	s.expect("$> ")
	s.awaitState(orphan, "T")
	s.awaitState(wrapper, "T")
	_ = syscall.Kill(leader, syscall.SIGKILL)
	s.awaitState(leader, "Z")
	return orphan, wrapper
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
