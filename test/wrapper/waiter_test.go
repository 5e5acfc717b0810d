package wrapper

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/amqprun/amqprun/test/program"
)

const erased = "\r\x1b[K"

// besideAHolder starts a shell in whose terminal $WAIT is amqprun that waits for a mutex;
// release lets it have it.
func besideAHolder(t *testing.T) (s *shell, release func()) {
	t.Helper()
	holder := withProgram(t, nil, "sh", "-c", "echo $$ >pid; exec sleep 300")
	holder.begin()
	holder.pid("pid")
	path := program.Path(t)
	s = onTerminal(t, shells["bash"]...)
	s.expect("$> ")
	s.script("WAIT", fmt.Sprintf(`exec %s --mutex 'wrapper-%s-%d' "$@"`, path, t.Name(), os.Getpid()))
	return s, func() {
		holder.send(syscall.SIGTERM)
		holder.end()
	}
}

// since returns what the terminal got after what was expected so far.
func (s *shell) since() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()[s.seen:]
}

func TestLiveLineLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s, release := besideAHolder(t)
	s.line(`WAIT sh -c 'echo started; exit 3'`)
	s.expect("exit 3'\r\n")
	eventually(t, func() bool { return strings.Count(s.since(), erased+"amqprun: waiting for ") >= 2 },
		"the second line")
	release()
	eventually(t, func() bool { return strings.Contains(s.since(), "started\r\n") },
		"the command to start")
	// On a busy machine the first line may come before it knows its place.
	want := regexp.MustCompile(`^(\x1b\[\?2004l\r)?(\r\x1b\[Kamqprun: waiting for [0-9]+s \((next ` +
		`in line|1 ahead|it is held by others)\) for mutex "wrapper-[^\r\n]*){2,}` +
		`\r\x1b\[Kstarted\r\n`)
	if got := s.since(); !want.MatchString(got) {
		t.Errorf("the terminal got %q", got)
	}
	s.expect("started")
	s.expectStatus(3)
}

// TestLiveLineNamesTheHolder: who waits at a terminal wants to know for whom.
func TestLiveLineNamesTheHolder(t *testing.T) {
	t.Parallel()
	s, _ := besideAHolder(t)
	if err := pty.Setsize(s.tty, &pty.Winsize{Rows: 24, Cols: 250}); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	s.line("WAIT true")
	s.expect("true\r\n")
	want := regexp.MustCompile(`waiting for [0-9]+s \((next in line|1 ahead)\) for mutex "[^"]+", ` +
		`held by \w+@` + regexp.QuoteMeta(host) + `: sh on amqp://`)
	eventually(t, func() bool { return want.MatchString(s.since()) }, "the line to name the holder")
	s.key(ctrlC)
	s.expect(erased)
	s.expect("$> ")
}

func TestLiveLineFitsTheTerminal(t *testing.T) {
	t.Parallel()
	s, _ := besideAHolder(t)
	for _, columns := range []uint16{30, 80, 200} {
		if err := pty.Setsize(s.tty, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
			t.Fatal(err)
		}
		s.line("WAIT true")
		s.expect("true\r\n")
		eventually(t, func() bool { return strings.Count(s.since(), erased) >= 2 }, "two lines")
		_, line, _ := strings.Cut(s.since(), erased)
		line, _, _ = strings.Cut(line, erased)
		whole := strings.Contains(line, " on amqp://")
		if len(line) >= int(columns) || whole != (columns == 200) {
			t.Errorf("in %d columns: %q", columns, line)
		}
		s.key(ctrlC)
		s.expect(erased)
		s.expect("$> ")
	}
}

func TestLiveLineAndLogLinesDoNotMix(t *testing.T) {
	t.Parallel()
	s, release := besideAHolder(t)
	s.line(`WAIT -v sh -c 'echo started'`)
	s.expect("started'\r\n")
	s.expect(erased + "amqprun: waiting for ")
	release()
	s.expect(erased + "amqprun: [")
	s.expect("started\r\n")
	s.expect("$> ")
	for line := range strings.SplitSeq(s.output(), "\r\n") {
		written := strings.Split(line, erased)
		if seen := written[len(written)-1]; strings.Count(seen, "amqprun: ") > 1 {
			t.Errorf("one line of the terminal is %q", seen)
		}
	}
}

func TestLiveLineEndsBeforeTheStop(t *testing.T) {
	t.Parallel()
	s, _ := besideAHolder(t)
	s.line("WAIT true")
	for range 2 {
		s.expect(erased + "amqprun: waiting for ")
		s.key(ctrlZ)
		s.expect(erased + "amqprun: warning: stopped; out of the wait queue until resumed\r\n")
		s.expect("$> ")
		if got := s.since(); strings.Contains(got, "amqprun") {
			t.Errorf("behind the prompt: %q", got)
		}
		s.line("fg")
	}
	s.expect(erased + "amqprun: waiting for ")
	s.key(ctrlC)
	s.expect(erased)
	s.expectStatus(130)
}

// TestWaiterThatCannotBeStoppedWaitsOn: a session leader, as in a container with a
// terminal. The kernel would not stop it.
func TestWaiterThatCannotBeStoppedWaitsOn(t *testing.T) {
	t.Parallel()
	holder := withProgram(t, nil, "sh", "-c", "echo $$ >pid; exec sleep 300")
	holder.begin()
	holder.pid("pid")
	path := program.Path(t)
	s := onTerminal(t, path, "--mutex", fmt.Sprintf("wrapper-%s-%d", t.Name(), os.Getpid()), "--",
		"sh", "-c", `echo "it=<runs>"`)
	s.expect("amqprun: waiting for ")
	s.key(ctrlZ)
	s.expect("amqprun: waiting for ")
	holder.send(syscall.SIGTERM)
	s.expect("it=<runs>")
	if strings.Contains(s.output(), "out of the wait queue") {
		t.Errorf("the terminal got %q", s.output())
	}
}

// TestWaiterInTheBackgroundIsSilent: also where the terminal stops those who are not.
func TestWaiterInTheBackgroundIsSilent(t *testing.T) {
	t.Parallel()
	s, release := besideAHolder(t)
	s.line("stty tostop; echo set=$?")
	s.expect("set=0\r\n")
	s.line(`WAIT true & echo $! >pid`)
	waiter := s.pid("pid")
	s.expect("$> ")
	passes(1500 * time.Millisecond)
	if got := s.since(); strings.Contains(got, "waiting") || state(waiter) == 'T' {
		t.Errorf("the terminal got %q from the background, the waiter is in state %c", got, state(waiter))
	}
	s.line("fg")
	s.expect(erased + "amqprun: waiting for ")
	release()
	s.expectStatus(0)
}

// TestStoppedTerminalDoesNotKeepTheCommandFromItsStart: after Ctrl-S nothing can be
// written.
func TestStoppedTerminalDoesNotKeepTheCommandFromItsStart(t *testing.T) {
	t.Parallel()
	s, release := besideAHolder(t)
	s.line(`WAIT touch log.started`)
	s.expect(erased + "amqprun: waiting for ")
	s.key("\x13")
	passes(1500 * time.Millisecond) // one more would have been drawn
	release()
	eventually(t, func() bool { _, err := os.Stat(s.file("log.started")); return err == nil },
		"the command to start")
	s.key("\x11")
	s.expectStatus(0)
}

// TestTerminalThatCannotEraseGetsLines: and who wants none gets nothing at all.
func TestTerminalThatCannotEraseGetsLines(t *testing.T) {
	t.Parallel()
	s, _ := besideAHolder(t)
	s.line(`TERM=dumb WAIT --progress 300ms true`)
	s.expect("\r\namqprun: waiting for mutex ")
	s.expect("\r\namqprun: waiting for mutex ")
	if strings.Contains(s.output(), erased) {
		t.Errorf("the terminal got %q", s.output())
	}
	s.key(ctrlC)
	s.expectStatus(130)
	for _, options := range []string{"-q", "--progress 0"} { // -w includes the login
		s.line(`WAIT %s -w 10 true; echo "status=$(($?))"`, options)
		eventually(t, func() bool { return strings.Contains(s.since(), "status=75\r\n") }, "the end")
		if got := s.since(); strings.Contains(got, "waiting") {
			t.Errorf("with %s the terminal got %q", options, got)
		}
	}
}

// TestMessageFromTheBackgroundDoesNotStopAHolder: the command has the foreground, and the
// terminal stops who writes from elsewhere.
func TestMessageFromTheBackgroundDoesNotStopAHolder(t *testing.T) {
	t.Parallel()
	path := mustProgram(t)
	s := onTerminal(t, shells["bash"]...)
	s.expect("$> ")
	name, change := withSlot(t)
	s.script("A", "exec "+path+" --semaphore "+name+` --greedy --elastic -v -- "$@"`)
	s.line("stty tostop; echo set=$?")
	s.expect("set=0")
	s.line(`A sh -c 'trap "" HUP; echo $PPID >wrapper; echo asking >>log; read x </dev/tty; ` +
		`echo "got=<$x>"'`)
	s.await("asking")
	awaitForeground(s)
	change("--to", "2")
	s.expect("got slot 2 too\r\n")
	if got := state(s.pid("wrapper")); got == 'T' {
		t.Error("amqprun was stopped for its message")
	}
	s.line("word")
	s.expect("got=<word>")
	s.expectStatus(0)
}
