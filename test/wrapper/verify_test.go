package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// withSlot makes a semaphore of this test with one slot; change is `amqprun change` of
// it.
func withSlot(t *testing.T) (name string, change func(args ...string)) {
	t.Helper()
	path := mustProgram(t)
	name = fmt.Sprintf("wrapper-%s-%d", t.Name(), os.Getpid())
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(path,
			append(args, "--semaphore", name)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	change = func(args ...string) { t.Helper(); run(append([]string{"change"}, args...)...) }
	change("--to", "1")
	t.Cleanup(func() { run("destroy") })
	return name, change
}

// onSlot runs test in each shell, where $A is amqprun with the slot of withSlot.
func onSlot(t *testing.T, options string,
	test func(t *testing.T, s *shell, change func(args ...string))) {
	t.Helper()
	path := mustProgram(t)
	inShells(t, func(t *testing.T, s *shell) {
		name, change := withSlot(t)
		s.script("A", fmt.Sprintf(`exec %s %s --semaphore '%s' -- "$@"`, path, options, name))
		test(t, s, change)
	})
}

// TestAmqprunVerifiesBeforeItResumes: with amqprun itself, the slot of a stopped command
// is still its own, or is gone.
func TestAmqprunVerifiesBeforeItResumes(t *testing.T) {
	t.Parallel()
	onSlot(t, "--heartbeat 30s --kill-after 10s",
		func(t *testing.T, s *shell, change func(args ...string)) {
			s.line(`A "$W" tick log`)
			command := s.pid("pid")
			s.await("run")
			for _, gone := range []bool{false, true} {
				s.key(ctrlZ)
				s.expect("stopped; the lock ends in")
				s.expect("$> ")
				s.awaitState(command, "T")
				before := s.read("log")
				if !gone {
					s.line("fg")
					eventually(t, func() bool { return len(s.read("log")) > len(before) }, "the command to go on")
					continue
				}
				change("--to", "0")
				s.line("fg")
				s.expectStatus(76)
				if after := s.read("log"); after != before {
					t.Errorf("the command went on: %q", strings.TrimPrefix(after, before))
				}
			}
		})
}

// TestAmqprunStoppedBeyondTheLeaseResumesNothing: Ctrl-Z is forgotten, and the lock with
// it.
func TestAmqprunStoppedBeyondTheLeaseResumesNothing(t *testing.T) {
	t.Parallel()
	onSlot(t, "--heartbeat 3s --check-interval 500ms --kill-after 500ms",
		func(t *testing.T, s *shell, _ func(args ...string)) {
			s.line(`A "$W" tick log`)
			command := s.pid("pid")
			s.await("run")
			s.key(ctrlZ)
			s.expect("$> ")
			s.awaitState(command, "T")
			before := s.read("log")
			eventually(t, func() bool { return !alive(command) }, "the guard to kill the command")
			s.line("fg")
			s.expectStatus(76)
			if after := s.read("log"); after != before {
				t.Errorf("the command went on: %q", strings.TrimPrefix(after, before))
			}
		})
}
