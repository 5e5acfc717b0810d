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

	"github.com/creack/pty"

	"github.com/amqprun/amqprun/test/program"
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
	"zsh": {"zsh", "-f", "-i", "-o", "nozle", "-o", "nopromptsp", "-o", "nopromptcr", "-o",
		"interactivecomments"},
}

// inShells runs test in each shell. In the shell $A starts the wrapper without options,
// $AW does up to them.
func inShells(t *testing.T, test func(t *testing.T, s *shell)) {
	t.Helper()
	for _, name := range []string{"bash", "dash", "zsh"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
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
	s.cmd.Env = append(os.Environ(), "PS1=$> ", "PROMPT=$> ", "ENV=", "TERM=xterm", "HISTFILE=",
		"MARK="+s.dir,
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
	program.WriteExecutable(s.t, filepath.Join(s.dir, name), []byte("#!/bin/sh\n"+text+"\n"))
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

// output is all that the terminal has shown until now.
func (s *shell) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// expectStatus waits for the prompt and asks for the status of the last command.
func (s *shell) expectStatus(want int) {
	s.t.Helper()
	s.expect("$> ")
	s.line(`echo "status=<$?>"`)
	s.expect(fmt.Sprintf("status=<%d>\r\n", want))
	s.expect("$> ")
}

// expectStoppedJob waits until the shell itself has noticed that its job is stopped; bash
// does not resume it before.
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
	eventually(s.t, func() bool { return strings.Contains("\n"+s.read("log"), "\n"+want+"\n") },
		"the log to say %q", want)
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
	eventually(s.t, func() bool { return strings.ContainsRune(want, rune(state(pid))) },
		"%d to be in state %s, it is %c", pid, want, state(pid))
}

// awaitForeground waits until the terminal belongs to another group than the shell's job:
// to the command.
func awaitForeground(s *shell) {
	s.t.Helper()
	eventually(s.t, func() bool {
		foreground := foregroundOf(s.cmd.Process.Pid)
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", foreground))
		return foreground != 0 && state(foreground) != 'T' &&
			strings.Contains(string(environ), "AMQPRUN_ID=") &&
			strings.Contains(string(environ), "MARK="+s.dir)
	}, "the command to have the terminal")
}

// awaitSleepInForeground waits until a job "sleep 300" has the terminal, and is not
// stopped.
func (s *shell) awaitSleepInForeground() {
	s.t.Helper()
	eventually(s.t, func() bool {
		foreground := foregroundOf(s.cmd.Process.Pid)
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", foreground))
		return string(cmdline) == "sleep\x00300\x00" && state(foreground) == 'S'
	}, "sleep to have the terminal")
}

// foregroundOf returns the foreground group of the terminal of a process.
func foregroundOf(pid int) (group int) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	_, _ = fmt.Sscan(fields[5], &group)
	return group
}
