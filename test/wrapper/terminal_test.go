package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// shell is an interactive shell on a terminal of its own.
type shell struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File
	dir  string
	mu   sync.Mutex
	out  strings.Builder
	seen int // what expect has consumed of out
}

// shells are the job-control shells that every terminal test runs in.
var shells = map[string][]string{
	"bash": {"bash", "--norc", "--noprofile", "-i"},
	"dash": {"dash", "-i"},
	"zsh":  {"zsh", "-f", "-i", "-o", "nozle", "-o", "nopromptsp", "-o", "nopromptcr", "-o", "interactivecomments"},
}

// inShells runs test in each shell. In the shell $A starts the wrapper without options, $AW does up to them.
func inShells(t *testing.T, test func(t *testing.T, s *shell)) {
	t.Helper()
	for _, name := range []string{"bash", "dash", "zsh"} {
		t.Run(name, func(t *testing.T) {
			mustLook(t, name)
			s := onTerminal(t, shells[name]...)
			s.expect("$> ")
			test(t, s)
		})
	}
}

// onTerminal starts a program as the leader of a session with a terminal.
func onTerminal(t *testing.T, command ...string) *shell {
	t.Helper()
	s := &shell{t: t, dir: t.TempDir(), cmd: exec.Command(command[0], command[1:]...)}
	s.cmd.Dir = s.dir
	s.cmd.Env = append(os.Environ(), "PS1=$> ", "PROMPT=$> ", "ENV=", "TERM=xterm", "HISTFILE=", "MARK="+s.dir,
		"W="+os.Args[0], "PATH="+s.dir+":"+os.Getenv("PATH"), "LESS=", "LESSHISTFILE=-")
	// Words are not split alike in all shells; programs are found alike.
	s.script("AW", `exec "$W" wrap "$@"`)
	s.script("A", `exec "$W" wrap -guard -- "$@"`)
	var err error
	if s.tty, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buffer := make([]byte, 4096)
		for {
			n, err := s.tty.Read(buffer)
			s.mu.Lock()
			s.out.Write(buffer[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("processes: %q", describe(carriers("MARK="+s.dir)))
		}
		s.killAll()
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.tty.Close()
		<-read
		if t.Failed() {
			t.Logf("on the terminal: %q", s.out.String())
		}
	})
	return s
}

func (s *shell) script(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// killAll ends what the test has left: every process with its MARK.
func (s *shell) killAll() {
	for _, pid := range carriers("MARK=" + s.dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// line types a command line. key types what it is given.
func (s *shell) line(format string, args ...any) {
	s.t.Helper()
	s.key(fmt.Sprintf(format, args...) + "\n")
}

func (s *shell) key(keys string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

const (
	ctrlC         = "\x03"
	ctrlZ         = "\x1a"
	ctrlBackslash = "\x1c"
)

// expect waits for text in the output that follows what was expected before.
func (s *shell) expect(text string) {
	s.t.Helper()
	eventually(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := strings.Index(s.out.String()[s.seen:], text)
		if i < 0 {
			return false
		}
		s.seen += i + len(text)
		return true
	}, "the terminal to show %q", text)
}

// expectStatus waits for the prompt and asks for the status of the last command.
func (s *shell) expectStatus(want int) {
	s.t.Helper()
	s.expect("$> ")
	s.line(`echo "status=<$?>"`)
	s.expect(fmt.Sprintf("status=<%d>\r\n", want))
	s.expect("$> ")
}

// expectStoppedJob waits until the shell itself has noticed that its job is stopped; bash does not resume it before.
func (s *shell) expectStoppedJob() {
	s.t.Helper()
	for round := 1; ; round++ {
		s.line("jobs; echo jobs=$((%d+0))", round)
		s.mu.Lock()
		from := s.seen
		s.mu.Unlock()
		s.expect(fmt.Sprintf("jobs=%d\r\n", round))
		s.mu.Lock()
		listed := s.out.String()[from:s.seen]
		s.mu.Unlock()
		if strings.Contains(listed, "Stopped") || strings.Contains(listed, "suspended") {
			return
		}
		if round > 1000 {
			s.t.Fatal("the shell does not notice that the job has stopped")
		}
	}
}

func (s *shell) file(name string) string { return filepath.Join(s.dir, name) }

func (s *shell) read(name string) string {
	b, _ := os.ReadFile(s.file(name))
	return string(b)
}

// await waits until the command has written a line into its log.
func (s *shell) await(want string) {
	s.t.Helper()
	eventually(s.t, func() bool { return strings.Contains("\n"+s.read("log"), "\n"+want+"\n") }, "the log to say %q", want)
}

// pid waits until the command has written a pid to a file.
func (s *shell) pid(name string) (pid int) {
	s.t.Helper()
	eventually(s.t, func() bool {
		n, err := fmt.Sscanf(s.read(name), "%d\n", &pid)
		return n == 1 && err == nil && strings.HasSuffix(s.read(name), "\n")
	}, "a pid in %s", name)
	return pid
}

func (s *shell) awaitState(pid int, want string) {
	s.t.Helper()
	eventually(s.t, func() bool { return strings.ContainsRune(want, rune(state(pid))) }, "%d to be in state %s, it is %c", pid, want, state(pid))
}

const asker = `sh -c 'echo $$ >pid; echo $PPID >wrapper; echo asking >>log; read x </dev/tty; echo "got=<$x>"; exit 5'`

func TestPipelineIntoAPager(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		mustLook(t, "less")
		s.line(`A seq 5000 | less`)
		s.expect("23\r\n:")
		s.key("G")
		s.expect("5000\r\n")
		s.key("q")
		s.expectStatus(0)
	})
}

func TestPagerUnderTheLock(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		mustLook(t, "less")
		s.line(`seq 5000 | A less`)
		s.expect("23\r\n:")
		s.key("G")
		s.expect("5000\r\n")
		s.key("q")
		s.expectStatus(0)
	})
}

func TestEditor(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		mustLook(t, "vim")
		s.line(`A vim -u NONE -N -n text`)
		s.expect("[New]")
		s.key("ihello\x1b:wq\r")
		s.expectStatus(0)
		if got := s.read("text"); got != "hello\n" {
			t.Errorf("the file has %q", got)
		}
	})
}

func TestCommandReadsTheTerminal(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A %s`, asker)
		s.await("asking")
		s.line("word")
		s.expect("got=<word>")
		s.expectStatus(5)
		// Through a pipe on both sides, and a second time.
		s.line(`echo x | A %s | cat`, asker)
		s.line("again")
		s.expect("got=<again>")
		s.expectStatus(0)
	})
}

func TestShellUnderTheLock(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A bash --norc --noprofile -i`)
		s.expect("$> ")
		s.line(`echo "nested=<$((6*7))>"`)
		s.expect("nested=<42>")
		s.line("sleep 300")
		passes(50 * time.Millisecond)
		s.key(ctrlZ)
		s.expect("Stopped")
		s.expect("$> ")
		s.line("fg")
		passes(50 * time.Millisecond)
		s.key(ctrlC)
		s.expect("$> ")
		s.line("exit 3")
		s.expect("exit\r\n")
		s.expectStatus(3)
	})
}

func TestCtrlCReachesTheCommandOnce(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A "$W" print-signals log`)
		s.await("ready")
		s.key(ctrlC)
		s.await("interrupt")
		s.key(ctrlBackslash)
		s.await("quit")
		for _, pid := range carriers("MARK=" + s.dir) {
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if strings.HasPrefix(string(cmdline), os.Args[0]+"\x00print-signals") {
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
		s.await("terminated")
		if got := s.read("log"); got != "ready\ninterrupt\nquit\nterminated\n" {
			t.Errorf("the command got %q", got)
		}
	})
}

// TestLoopEndsWithCtrlC: a shell ends its loop when a command died of SIGINT, and not when it exited with 130.
func TestLoopEndsWithCtrlC(t *testing.T) {
	for _, name := range []string{"bash", "dash", "zsh"} {
		t.Run(name, func(t *testing.T) {
			mustLook(t, name)
			s := onTerminal(t, shells[name]...)
			s.expect("$> ")
			s.script("loop", `exec `+name+` -c 'for i in 1 2 3; do A sh -c "echo \$\$ >>rounds; exec sleep 300"; done; echo "after the loop"'`)
			s.line("loop")
			eventually(t, func() bool { return strings.Count(s.read("rounds"), "\n") == 1 }, "the first round")
			s.key(ctrlC)
			s.expectStatus(130)
			if got := strings.Count(s.read("rounds"), "\n"); got != 1 {
				t.Errorf("%d rounds", got)
			}
		})
	}
}

func TestCtrlCAfterTheTerminalWasHandedOver(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A sh -c 'trap "echo int >>log" INT; echo asking >>log; read x </dev/tty; read x </dev/tty; echo "got=<$x>"'`)
		s.await("asking")
		awaitForeground(s)
		s.key(ctrlC)
		s.await("int")
		s.line("word")
		s.line("word")
		s.expect("got=<word>")
		if got := s.read("log"); got != "asking\nint\n" {
			t.Errorf("the command saw %q", got)
		}
	})
}

// awaitForeground waits until the terminal belongs to another group than the shell's job: to the command.
func awaitForeground(s *shell) {
	s.t.Helper()
	eventually(s.t, func() bool {
		foreground := foregroundOf(s.cmd.Process.Pid)
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", foreground))
		return foreground != 0 && state(foreground) != 'T' && strings.Contains(string(environ), "AMQPRUN_ID=") && strings.Contains(string(environ), "MARK="+s.dir)
	}, "the command to have the terminal")
}

// foregroundOf returns the foreground group of the terminal of a process.
func foregroundOf(pid int) (group int) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	_, _ = fmt.Sscan(fields[5], &group)
	return group
}

func TestCtrlZStopsBothAndFgResumesAfterVerification(t *testing.T) {
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`AW -guard -lease 1m -verify verify -- sh -c 'echo $$ >pid; echo $PPID >wrapper; exec sleep 300'`)
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

func TestCtrlZWithTheTerminalHandedOver(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A %s | sh -c 'echo up >>log; exec cat'`, asker)
		s.await("asking")
		s.await("up") // a shell's child that has not executed its program yet ignores Ctrl-Z
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
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A sh -c 'echo $$ >pid; while ! [ -e release ]; do sleep 0.01; done; echo "background=<$((6*7))>"' &`)
		s.awaitState(s.pid("pid"), "SR")
		s.line(`echo "shell=<$((2+3))>"`)
		s.expect("shell=<5>")
		s.line("touch release")
		s.expect("background=<42>")
	})
}

// TestOrphanedJobThatReadsTheTerminal: there is no shell that could ever resume it, so it must not stop for ever.
func TestOrphanedJobThatReadsTheTerminal(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`(A sh -c 'echo $PPID >wrapper; trap "echo hup >>log; exit" HUP; read x </dev/tty; echo "read $?" >>log' &)`)
		wrapper := s.pid("wrapper")
		s.await("hup")
		eventually(t, func() bool { return !alive(wrapper) }, "the wrapper to end")
	})
}

func TestFailedVerificationKillsInsteadOfResuming(t *testing.T) {
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
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`mkfifo slow; AW -guard -verify-fifo slow -- sh -c 'echo $$ >pid; echo $PPID >wrapper; exec sleep 300'`)
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
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`AW -guard -verify verify -lease 4s -kill-after 200ms -- "$W" tick log`)
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
	inShells(t, func(t *testing.T, s *shell) {
		s.line(`mkfifo slow; AW -guard -verify-fifo slow -- sh -c 'echo $$ >pid; echo $PPID >wrapper; exec sleep 300'`)
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
		release(t, s.file("slow"))
		s.awaitState(command, "S")
		s.key(ctrlC)
		s.expectStatus(130)
	})
}

// TestStoppedCommandAloneKeepsTheLock: SIGSTOP to the command is nobody's Ctrl-Z.
func TestStoppedCommandAloneKeepsTheLock(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A sh -c 'echo $$ >pid; echo $PPID >wrapper; while ! [ -e release ]; do sleep 0.01; done; exit 6'`)
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

// TestSessionLeaderCannotBeStopped: the kernel discards our stop, as in a container, and the command goes on.
func TestSessionLeaderCannotBeStopped(t *testing.T) {
	s := onTerminal(t, os.Args[0], "wrap", "-guard", "-verify", "verify", "--", "sh", "-c",
		`echo $$ >pid; echo asking >>log; read x </dev/tty; echo "got=<$x>"; read x </dev/tty`)
	s.await("asking")
	awaitForeground(s)
	s.key(ctrlZ)
	passes(20 * time.Millisecond)
	s.awaitState(s.pid("pid"), "SR")
	s.line("word")
	s.expect("got=<word>")
	s.key(ctrlZ)
	passes(20 * time.Millisecond)
	s.awaitState(s.pid("pid"), "SR")
}

// TestSettingsAreRestoredAfterADeathBySignal: by us, not by the shell: dash does not do it, nor does a script.
func TestSettingsAreRestoredAfterADeathBySignal(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.script("script", `A sh -c 'stty -echo -icanon </dev/tty; kill -9 $$'; echo "ended=<$?>"; stty -a </dev/tty | tr ";" "\n" | grep -E "icanon|echo " >settings; echo "done=<$((1+1))>"`)
		s.line("script")
		s.expect("ended=<137>")
		s.expect("done=<2>")
		for _, setting := range []string{"icanon", "echo"} {
			if got := " " + strings.Join(strings.Fields(s.read("settings")), " ") + " "; !strings.Contains(got, " "+setting+" ") {
				t.Errorf("%s is off: %q", setting, got)
			}
		}
		s.expect("$> ")
	})
}

// TestScriptGetsTheTerminalBack: a script is no job-control shell, it does not take the terminal; it has to be given.
func TestScriptGetsTheTerminalBack(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.script("script", `A `+asker+`; read y </dev/tty; echo "second=<$y>"`)
		s.line("script")
		s.await("asking")
		s.line("one")
		s.expect("got=<one>")
		s.line("two")
		s.expect("second=<two>")
		s.expect("$> ")
	})
}

func TestOutputWithTostop(t *testing.T) {
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line("stty tostop; echo set=$?")
		s.expect("set=0")
		s.line(`A sh -c 'echo "out=<$((6*7))>"; exit 3'`)
		s.expect("out=<42>")
		s.expectStatus(3)
	})
}
