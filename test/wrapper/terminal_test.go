package wrapper

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/amqprun/amqprun/test/program"
)

const asker = `sh -c 'echo $$ >pid; echo $PPID >wrapper; echo asking >>log; read x </dev/tty; ` +
	`echo "got=<$x>"; exit 5'`

// inForeground is a command that says whether it has the terminal.
const inForeground = `sh -c 'set -- $(cut -d")" -f2 /proc/$$/stat); ` +
	`[ $3 = $6 ] && echo "front=<yes>" >>log || echo "front=<no>" >>log; exit 4'`

// TestCommandStartsInTheForeground: wget and git ask once, at their start.
func TestCommandStartsInTheForeground(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		for range 3 {
			s.line(`rm -f log; A %s`, inForeground)
			s.expectStatus(4)
			if got := s.read("log"); got != "front=<yes>\n" {
				t.Errorf("alone on the terminal: %q", got)
			}
		}
		s.script("twice", `A `+inForeground+`; A `+inForeground)
		s.line("rm -f log; twice")
		s.expectStatus(4)
		if got := s.read("log"); got != "front=<yes>\nfront=<yes>\n" {
			t.Errorf("in a script: %q", got)
		}
		for _, line := range []string{`A %s | cat`, `true | A %s`, `A %s </dev/null`, `A %s >out`,
			`A %s &`} {
			s.line("rm -f log; "+line, inForeground)
			s.expect("$> ")
			s.await("front=<no>")
		}
	})
}

// TestCommandThatCannotStartReturnsTheTerminal: a child has it, and is not executed.
func TestCommandThatCannotStartReturnsTheTerminal(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.script("script", `A ./bad; A ./plain; read x; echo "got=<$x>"`)
		for name, text := range map[string]string{"bad": "#!/no/such/interpreter\n",
			"plain": `read x; echo "plain=<$x>"` + "\n"} {
			program.WriteExecutable(t, s.file(name), []byte(text))
		}
		s.line("script")
		s.expect("interpreter")
		s.line("one")
		s.expect("plain=<one>")
		s.line("two")
		s.expect("got=<two>")
		s.expectStatus(0)
	})
}

func TestPipelineIntoAPager(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A bash --norc --noprofile -i`)
		s.expect("$> ")
		s.line(`echo "nested=<$((6*7))>"`)
		s.expect("nested=<42>\r\n")
		// a Ctrl-Z that comes too early empties the terminal's queue: nothing is typed before
		s.expect("$> ")
		s.line("sleep 300")
		s.awaitSleepInForeground()
		s.key(ctrlZ)
		s.expect("Stopped")
		s.expect("$> ")
		s.line("fg")
		s.awaitSleepInForeground()
		s.key(ctrlC)
		s.expect("$> ")
		s.line("exit 3")
		s.expect("exit\r\n")
		s.expectStatus(3)
	})
}

func TestCtrlCReachesTheCommandOnce(t *testing.T) {
	t.Parallel()
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

// TestWindowSizeArrives once, whoever has the terminal.
func TestWindowSizeArrives(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A sh -c 'echo $$ >pid; trap "stty size </dev/tty >>log" WINCH; echo ready >>log; ` +
			`until [ -e asks ]; do sleep 0.01; done; echo asking >>log; ` +
			`until read x </dev/tty && [ "$x" = end ]; do :; done'`)
		s.await("ready")
		resize := func(columns uint16) {
			t.Helper()
			if err := pty.Setsize(s.tty, &pty.Winsize{Rows: 30, Cols: columns}); err != nil {
				t.Fatal(err)
			}
		}
		resize(101)
		s.await("30 101")
		if err := os.WriteFile(s.file("asks"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s.await("asking")
		awaitForeground(s)
		resize(102)
		s.line("word") // a shell that gets the signal just before it reads runs its trap when it has read
		s.await("30 102")
		s.line("end")
		s.expectStatus(0)
		if got := s.read("log"); got != "ready\n30 101\nasking\n30 102\n" {
			t.Errorf("the command saw %q", got)
		}
	})
}

// TestPasswordPrompt: what is typed is not shown, and the terminal shows what is typed
// after it.
func TestPasswordPrompt(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A bash -c 'read -rsp "pass""word: " x </dev/tty; echo; echo "length=<${#x}>"'`)
		s.expect("password: ")
		awaitForeground(s)
		s.line("secret")
		s.expect("length=<6>")
		s.expect("$> ")
		s.line("echo visible")
		s.expect("echo visible\r\n")
		if strings.Contains(s.output(), "secret") {
			t.Error("the password was shown")
		}
	})
}

// TestLoopEndsWithCtrlC: a shell ends its loop when a command died of SIGINT, and not
// when it exited with 130.
func TestLoopEndsWithCtrlC(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bash", "dash", "zsh"} {
		for _, orphans := range []string{"0", "1", "2"} { // leave, wait, kill
			t.Run(name+orphans, func(t *testing.T) {
				t.Parallel()
				mustLook(t, name)
				s := onTerminal(t, shells[name]...)
				s.expect("$> ")
				s.script("loop", `exec `+name+` -c 'for i in 1 2 3; do AW -guard -orphans `+
					orphans+` -- sh -c "echo \$\$ >>rounds; `+
					`exec sleep 300"; done; echo "after the loop"'`)
				s.line("loop")
				eventually(t, func() bool { return strings.Count(s.read("rounds"), "\n") == 1 },
					"the first round")
				s.key(ctrlC)
				s.expectStatus(130)
				if got := strings.Count(s.read("rounds"), "\n"); got != 1 {
					t.Errorf("%d rounds", got)
				}
			})
		}
	}
}

func TestCtrlCAfterTheTerminalWasHandedOver(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line(`A sh -c 'trap "echo int >>log" INT; echo asking >>log; read x </dev/tty; ` +
			`read x </dev/tty; echo "got=<$x>"'`)
		s.await("asking")
		awaitForeground(s)
		s.key(ctrlC)
		s.line("word") // a shell that gets the signal just before it reads runs its trap when it has read
		s.await("int")
		s.line("word")
		s.expect("got=<word>")
		if got := s.read("log"); got != "asking\nint\n" {
			t.Errorf("the command saw %q", got)
		}
	})
}

// TestSettingsAreRestoredAfterADeathBySignal: amqprun does it, because dash and scripts
// do not.
func TestSettingsAreRestoredAfterADeathBySignal(t *testing.T) {
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.script("script", `A sh -c 'stty -echo -icanon </dev/tty; kill -9 $$'; echo "ended=<$?>"; `+
			`stty -a </dev/tty | tr ";" "\n" | grep -E "icanon|echo " >settings; echo "done=<$((1+1))>"`)
		s.line("script")
		s.expect("ended=<137>")
		s.expect("done=<2>")
		for _, setting := range []string{"icanon", "echo"} {
			got := " " + strings.Join(strings.Fields(s.read("settings")), " ") + " "
			if !strings.Contains(got, " "+setting+" ") {
				t.Errorf("%s is off: %q", setting, got)
			}
		}
		s.expect("$> ")
	})
}

// TestOutputThatIsHeldUpHoldsNothingUp: Ctrl-S holds up what the command has left behind,
// and the settings are restored meanwhile.
func TestOutputThatIsHeldUpHoldsNothingUp(t *testing.T) {
	t.Parallel()
	const ctrlS = "\x13"
	s := onTerminal(t, "sh", "-c", `A sh -c 'yes & echo $! >writer; echo $$ >pid; wait'; `+
		`echo $? >log`)
	command, writer := s.pid("pid"), s.pid("writer")
	s.key(ctrlS)
	eventually(t, func() bool {
		before := len(s.output())
		passes(20 * time.Millisecond)
		return state(writer) == 'S' && len(s.output()) == before
	}, "the output to be held up")
	if err := syscall.Kill(command, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.await("137")
}

// TestScriptGetsTheTerminalBack: a script is no job-control shell, it does not take the
// terminal; it has to be given.
func TestScriptGetsTheTerminalBack(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	inShellsWithProgram(t, func(t *testing.T, s *shell) {
		s.line("stty tostop; echo set=$?")
		s.expect("set=0")
		s.line(`A sh -c 'echo "out=<$((6*7))>"; exit 3'`)
		s.expect("out=<42>")
		s.expectStatus(3)
	})
}
