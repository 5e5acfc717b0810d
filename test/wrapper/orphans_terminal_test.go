package wrapper

import (
	"strings"
	"syscall"
	"testing"
)

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
