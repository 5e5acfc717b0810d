package wrapper

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/test/program"
)

// TestCtrlZWhilePaused: the keys of the terminal reach amqprun while the command cannot
// act on them. The command gets the terminal back, with its settings.
func TestCtrlZWhilePaused(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`mkfifo lose regain; AW -guard -lose lose -regain regain -- ` +
			`sh -c 'stty -echo; echo $$ >pid; echo $PPID >wrapper; exec "$W" tick log'`)
		command, wrapper := s.pid("pid"), s.pid("wrapper")
		s.await("run")
		awaitForeground(s)
		release(t, s.file("lose"))
		s.expect("wrap: paused")
		s.awaitState(command, "T")
		before := s.read("log")
		for range 2 {
			eventually(t, func() bool { return foregroundOf(s.cmd.Process.Pid) == wrapper },
				"the wrapper to have the terminal")
			s.key(ctrlZ)
			s.expect("$> ")
			s.awaitState(wrapper, "T")
			s.line("fg")
			s.awaitState(wrapper, "S")
		}
		if s.read("log") != before {
			t.Error("the command went on")
		}
		release(t, s.file("regain"))
		s.expect("the command goes on")
		awaitForeground(s)
		eventually(t, func() bool { return s.read("log") != before }, "the command to go on")
		eventually(t, func() bool { return !s.echoes() }, "the command's settings of the terminal")
		s.key(ctrlZ)
		s.expect("$> ")
		s.awaitState(command, "T")
		s.line("fg")
		awaitForeground(s)
		s.key(ctrlC)
		s.expectStatus(130)
	})
}

// echoes reports whether the terminal shows what is typed.
func (s *shell) echoes() (echo bool) {
	s.t.Helper()
	raw, err := s.tty.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			settings, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
			echo = err == nil && settings.Lflag&unix.ECHO != 0
		})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return echo
}

// TestCtrlCWhilePaused: also of a command that has switched it off.
func TestCtrlCWhilePaused(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`mkfifo lose regain; AW -guard -lose lose -regain regain -- ` +
			`sh -c 'stty -isig; echo $$ >pid; exec "$W" tick log'`)
		command := s.pid("pid")
		s.await("run")
		awaitForeground(s)
		release(t, s.file("lose"))
		s.expect("wrap: paused")
		s.key(ctrlC)
		s.expectStatus(130)
		if alive(command) {
			t.Error("the command lives")
		}
	})
}

// TestLossBesideTheVerification: the lock is lost while a command that Ctrl-Z has stopped
// waits for the verification. It goes on when the lock is held again.
func TestLossBesideTheVerification(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`mkfifo lose regain slow; AW -guard -lose lose -regain regain -verify-fifo slow -- ` +
			`sh -c 'echo $$ >pid; echo $PPID >wrapper; exec "$W" tick log'`)
		command, wrapper := s.pid("pid"), s.pid("wrapper")
		s.await("run")
		s.key(ctrlZ)
		s.expect("$> ")
		s.awaitState(command, "T")
		before := s.read("log")
		loseWhileVerified(s, wrapper)
		eventually(t, func() bool { return s.read("log") != before }, "the command to go on")
		awaitForeground(s)
		s.key(ctrlC)
		s.expectStatus(130)
	})
}

// loseWhileVerified continues a stopped wrapper, and loses the lock while it is verified.
// It returns when the lock is held again.
func loseWhileVerified(s *shell, wrapper int) {
	s.t.Helper()
	s.line("fg")
	s.awaitState(wrapper, "S")
	release(s.t, s.file("lose"))
	s.expect("wrap: paused")
	release(s.t, s.file("slow"))
	release(s.t, s.file("regain"))
	s.expect("the command goes on")
}

// TestLossBesideTheVerificationOfOrphans: the command has died meanwhile, and amqprun
// waits for the rest.
func TestLossBesideTheVerificationOfOrphans(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, s *shell) {
		orphan, wrapper := stoppedOrphan(s,
			"mkfifo lose regain slow; AW -lose lose -regain regain -verify-fifo slow")
		loseWhileVerified(s, wrapper)
		s.awaitState(orphan, "SR")
		_ = syscall.Kill(orphan, syscall.SIGKILL)
		s.expectStatus(137)
	})
}

// TestPauseOfAJobWithTheTerminal: a shell of the command has given the terminal to a
// group of its own, as perl does here.
func TestPauseOfAJobWithTheTerminal(t *testing.T) {
	t.Parallel()
	mustLook(t, "perl")
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`mkfifo lose regain; AW -guard -lose lose -regain regain -- perl -MPOSIX -e '` +
			`if (!fork) { setpgid(0, 0); $SIG{TTOU} = "IGNORE"; tcsetpgrp(0, $$); ` +
			`$SIG{TTOU} = "DEFAULT"; exec "sleep", "300" } ` +
			`open my $f, ">", "wrapper"; print $f getppid, "\n"; close $f; wait; exit 3'`)
		wrapper := s.pid("wrapper")
		s.awaitSleepInForeground()
		release(t, s.file("lose"))
		s.expect("wrap: paused")
		eventually(t, func() bool { return foregroundOf(s.cmd.Process.Pid) == wrapper },
			"the wrapper to have the terminal")
		release(t, s.file("regain"))
		s.expect("the command goes on")
		s.awaitSleepInForeground()
		s.key(ctrlC)
		s.expectStatus(3)
	})
}

// TestStopBesideTheLoss: the command stops for a reason of its own, and amqprun sees that
// and the loss at once. It takes either first (select). If that is the loss, it acts on
// the stop when it has the lock again.
func TestStopBesideTheLoss(t *testing.T) {
	t.Parallel()
	t.Run("it wants the terminal", func(t *testing.T) {
		inShells(t, func(t *testing.T, s *shell) {
			wrapper := s.loseBesideStop(`sh -c 'echo $$ >pid; until [ -e ask ]; do sleep 0.01; done; `+
				`read x </dev/tty; echo "got=<$x>"' </dev/null`, func() { touch(t, s.file("ask")) })
			s.expect("wrap: paused")
			passes(50 * time.Millisecond)
			if got := foregroundOf(s.cmd.Process.Pid); got != wrapper {
				t.Errorf("the terminal belongs to %v", describe([]int{got}))
			}
			release(t, s.file("regain"))
			s.expect("the command goes on")
			awaitForeground(s)
			s.line("word")
			s.expect("got=<word>")
			s.expectStatus(0)
		})
	})
	t.Run("Ctrl-Z", func(t *testing.T) {
		inShells(t, func(t *testing.T, s *shell) {
			wrapper := s.loseBesideStop(`"$W" tick log`, func() {
				awaitForeground(s)
				s.key(ctrlZ)
			})
			paused := false
			eventually(t, func() bool {
				paused = strings.Contains(s.output(), "wrap: paused")
				return paused || state(wrapper) == 'T'
			}, "the pause, or the stop")
			resume := func() {
				s.expect("$> ")
				s.awaitState(wrapper, "T")
				s.line("fg")
			}
			if !paused {
				resume()
			}
			s.expect("wrap: paused")
			eventually(t, func() bool { return foregroundOf(s.cmd.Process.Pid) == wrapper },
				"the wrapper to have the terminal")
			before := s.read("log")
			release(t, s.file("regain"))
			s.expect("the command goes on")
			if paused {
				resume()
			}
			eventually(t, func() bool { return s.read("log") != before }, "the command to go on")
			awaitForeground(s)
			s.key(ctrlC)
			s.expectStatus(130)
		})
	})
}

// loseBesideStop starts a command, calls stop, which stops it, and loses the lock. The
// wrapper, whose pid it returns, is busy meanwhile: to replace its guard takes as long as
// the file "free" does not exist. A guard that has lived for a second is replaced at
// once.
func (s *shell) loseBesideStop(command string, stop func()) (wrapper int) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	touch(s.t, s.file("free"))
	s.line(`mkfifo lose regain; AW -guard -keep %s -keep-when free -lose lose -regain regain -- %s`,
		l.Addr(), command)
	pid, guard := s.pid("pid"), 0
	wrapper = atoi(statFields(pid)[1])
	eventually(s.t, func() bool {
		guard = program.GuardOf(wrapper)
		return guard != 0
	}, "the guard to be ready")
	passes(1100 * time.Millisecond)
	if err := os.Remove(s.file("free")); err != nil {
		s.t.Fatal(err)
	}
	_ = syscall.Kill(guard, syscall.SIGKILL)
	eventually(s.t, func() bool { return state(guard) == 0 }, "the guard to be collected")
	stop()
	s.awaitState(pid, "T")
	release(s.t, s.file("lose"))
	touch(s.t, s.file("free"))
	return wrapper
}
