package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/amqprun/amqprun/test/program"
	"github.com/amqprun/amqprun/test/wrapper/wrap"
)

func TestEveryExitStatusIsPassedOn(t *testing.T) {
	t.Parallel()
	for status := range 256 {
		if got := start(t, "--", "sh", "-c", "exit "+strconv.Itoa(status)).end(); got != status {
			t.Errorf("exit %d became %d", status, got)
		}
	}
}

func TestDeathBySignalIs128PlusN(t *testing.T) {
	t.Parallel()
	for s := syscall.Signal(1); s < 32; s++ {
		switch s {
		case syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGSTOP,
			syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
			continue // not deadly
		}
		p := start(t, "--", "sh", "-c", "ulimit -c 0; kill -"+strconv.Itoa(int(s))+" $$")
		if got := p.end(); got != 128+int(s) {
			t.Errorf("%v became %d", s, got)
		}
		if byInt := p.diedOf() == syscall.SIGINT; byInt != (s == syscall.SIGINT) {
			t.Errorf("%v: the wrapper died of %v", s, p.diedOf())
		}
	}
}

func TestCommandsThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		program.WriteExecutable(t, path, []byte(text))
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script("in-path", "#!/bin/sh\n", 0o600)
	for _, c := range []struct {
		name, command string
		code          int
		says          string
	}{
		{"not in PATH", "no-such-command", 127, "command not found"},
		{"no such file", dir + "/nothing", 127, "no such file"},
		{"through a file", "/etc/passwd/x", 127, "not a directory"},
		{"empty", "", 127, "empty"},
		{"no permission", script("plain", "x", 0o600), 126, "permission denied"},
		{"no permission, in PATH", "in-path", 126, "permission denied"},
		{"directory", dir, 126, "is a directory"},
		{"no interpreter", script("bad", "#!/no/such/interpreter -x\n", 0o700), 126,
			"/no/such/interpreter does not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := prepare(t, "-guard", "--", c.command)
			p.Env = append(p.Env, "PATH="+dir+":"+os.Getenv("PATH"))
			p.begin()
			if got := p.end(); got != c.code {
				t.Errorf("exit status %d, want %d", got, c.code)
			}
			if !strings.Contains(p.stderr.String(), c.says) {
				t.Errorf("does not say %q", c.says)
			}
		})
	}
}

// TestScriptWithoutInterpreterLine: execvp, and so flock and timeout, run it with
// /bin/sh.
func TestScriptWithoutInterpreterLine(t *testing.T) {
	t.Parallel()
	p := prepare(t, "-guard", "--", "script", "a  b", "c")
	p.Env = append(p.Env, "PATH="+p.dir+":"+os.Getenv("PATH"))
	program.WriteExecutable(t, p.path("script"), []byte(`echo "$0:$1:$2:$#" >log; exit 9`+"\n"))
	p.begin()
	if got, want := p.end(), 9; got != want {
		t.Errorf("exit status %d, want %d", got, want)
	}
	if got, want := p.read("log"), p.path("script")+":a  b:c:2\n"; got != want {
		t.Errorf("the script got %q, want %q", got, want)
	}
}

func TestArgumentListTooLong(t *testing.T) {
	t.Parallel()
	p := start(t, "-long", "--", "true")
	if got := p.end(); got != 126 || !strings.Contains(p.stderr.String(), "argument list too long") {
		t.Errorf("exit status %d, want 126 and the reason", got)
	}
}

// TestNothingLeaksIntoTheCommand looks at what a command inherits. It has the
// descriptors, limits and signals of the caller, and none of the wrapper's own.
func TestNothingLeaksIntoTheCommand(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	p := prepare(t, "-guard", "-lease", "1m", "--", "sh", "-c",
		"echo /proc/$$/fd/* >fds; ulimit -Sn >limit; exec "+signalState+" >signals")
	p.ExtraFiles = []*os.File{w}
	p.Path, p.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -Sn 777; ` +
		`echo /proc/$$/fd/* >before; ` + signalState + ` >inherited; exec "$@"`, "sh"}, p.Args...)
	p.begin()
	if got := p.end(); got != 0 {
		t.Fatalf("exit status %d", got)
	}
	descriptors := func(name string) string {
		return regexp.MustCompile(`/proc/[0-9]+/fd/`).ReplaceAllString(p.read(name), "")
	}
	if got, want := descriptors("fds"), descriptors("before"); got != want ||
		!strings.Contains(got, "3") {
		t.Errorf("descriptors %q, want those inherited, %q", got, want)
	}
	if got := strings.TrimSpace(p.read("limit")); got != "777" {
		t.Errorf("limit of open files %s, want the caller's 777", got)
	}
	if got, want := p.read("signals"), p.read("inherited"); got != want {
		t.Errorf("blocked and ignored signals %q, want those inherited, %q", got, want)
	}
}

// signalState prints which signals are blocked and ignored. What a test inherits need not
// be nothing: make ignores 32.
const signalState = "grep -E '^Sig(Blk|Ign)' /proc/self/status"

// TestBlockedSignalsStayBlocked: no shell may come between, because dash unblocks all.
func TestBlockedSignalsStayBlocked(t *testing.T) {
	t.Parallel()
	p := prepare(t, "-guard", "--", "grep", "^SigBlk", "/proc/self/status")
	p.Path, p.Args = mustLook(t, "env"), append([]string{"env", "--block-signal=USR1"}, p.Args...)
	p.Args[2] = os.Args[0]
	var out strings.Builder
	p.Stdout = &out
	p.begin()
	code := p.end()
	set := strings.TrimSpace(strings.TrimPrefix(out.String(), "SigBlk:"))
	blocked, err := strconv.ParseUint(set, 16, 64)
	if code != 0 || err != nil || blocked&(1<<(syscall.SIGUSR1-1)) == 0 {
		t.Errorf("exit status %d, %q", code, out.String())
	}
}

func TestIgnoredHangupAndInterruptStayIgnored(t *testing.T) {
	t.Parallel()
	p := prepare(t, "-guard", "--", "sh", "-c", signalState+" >ignored; echo ready >state; : <fifo")
	p.Path, p.Args = "/bin/sh", append([]string{"sh", "-c",
		`trap "" HUP INT; ` + signalState + ` >inherited; mkfifo fifo; exec "$@"`, "sh"}, p.Args...)
	p.begin()
	p.await("state", "ready")
	if got, want := p.read("ignored"), p.read("inherited"); got != want ||
		!strings.HasSuffix(strings.TrimSpace(got), "3") {
		t.Errorf("%q, want HUP and INT, as inherited: %q", got, want)
	}
	p.send(syscall.SIGHUP)
	p.send(syscall.SIGINT)
	release(t, p.path("fifo"))
	if got := p.end(); got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
}

// TestCommandOutlivesThreads: the parent-death signal comes at the death of the thread
// that started the command.
func TestCommandOutlivesThreads(t *testing.T) {
	t.Parallel()
	if got := start(t, "-churn", "--", "sh", "-c", "sleep 0.5; exit 8").end(); got != 8 {
		t.Errorf("exit status %d, want 8", got)
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	t.Parallel()
	option, now := lose(t)
	for _, c := range []struct {
		name    string
		options []string
		status  int
	}{
		{"normal end", []string{"--", "true"}, 0},
		{"not found", []string{"--", "no-such-command"}, 127},
		{"loss", append(option, "-kill-after", "100ms", "--", "sh", "-c",
			`trap "" TERM; echo ready >log; while :; do sleep 0.01; done`), wrap.ExitLost},
		{"orphans", []string{"-orphans", "1", "--", "sh", "-c", "sleep 0.1 & exit 6"}, 6},
	} {
		p := start(t, append([]string{"-leaks", "-guard"}, c.options...)...)
		if c.name == "loss" {
			p.await("log", "ready")
			now()
		}
		if got := p.end(); got != c.status {
			t.Errorf("%s: exit status %d, want %d: %s", c.name, got, c.status, p.stderr)
		}
	}
}

// TestForeignProc: where /proc is that of another PID namespace, others have the numbers
// of our processes there.
func TestForeignProc(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("a PID namespace needs root")
	}
	run := func(t *testing.T, command string, options ...string) *process {
		p := prepare(t, append(options, "-guard", "-kill-after", "10s", "--", "sh", "-c", command)...)
		// As a child of sh, because process 1 is spared by many signals.
		p.Args = append([]string{"unshare", "--pid", "--fork", "--kill-child",
			"sh", "-c", `"$@"; exit $?`, "sh"}, p.Args...)
		p.Path = mustLook(t, "unshare")
		p.begin()
		return p
	}
	const command = `trap "echo got >>log; exit" TERM; echo ready >>log; ` +
		`while :; do sleep 0.01; done`
	option, now := lose(t)
	for name, options := range map[string][]string{
		"is stopped": option, "is not paused": append([]string{"-regain", "never"}, option...),
	} {
		t.Run(name, func(t *testing.T) {
			p := run(t, command, options...)
			p.await("log", "ready")
			now()
			p.endsLost()
			p.await("log", "got")
		})
	}
	// Nobody can find the child that has left the group.
	for name, command := range map[string]string{
		"kills": "sleep 300 & exit 6",
		"gives up": `setsid sh -c 'echo ready >>log; exec sleep 300' & ` +
			`while ! [ -s log ]; do sleep 0.01; done; exit 6`,
	} {
		t.Run(name, func(t *testing.T) {
			p := run(t, command, "-orphans", "2")
			if got := p.end(); got != 6 {
				t.Errorf("exit status %d, want 6", got)
			}
			if got := strings.Contains(p.stderr.String(), "do not die"); got != (name == "gives up") {
				t.Errorf("it says %q", p.stderr)
			}
		})
	}
}

// TestInit runs the wrapper as process 1, where it has to collect unrelated processes
// and cannot die of a signal.
func TestInit(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("a PID namespace needs root")
	}
	run := func(t *testing.T, command string, options ...string) *process {
		p := prepare(t, append(options, "-guard", "-v", "--", "sh", "-c", command)...)
		p.Args = append([]string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"}, p.Args...)
		p.Path = mustLook(t, "unshare")
		p.begin()
		return p
	}
	t.Run("collects", func(t *testing.T) {
		// The grandchild becomes a child of process 1, which must not keep its zombie.
		p := run(t, `(sh -c 'echo $$ >orphan; exit 5' &) ; `+
			`while ! [ -s orphan ] || [ -d /proc/$(cat orphan) ]; do :; done; exit 4`)
		if got := p.end(); got != 4 {
			t.Errorf("exit status %d, want 4", got)
		}
	})
	// Descendants of process 1 are known by that too, where group and environment do not
	// show it.
	const daemon = `env -i setsid sh -c 'trap "echo got >>log; exit" TERM; echo ready >>log; ` +
		`while :; do sleep 0.01; done' & sleep 300`
	t.Run("stops all", func(t *testing.T) {
		option, now := lose(t)
		p := run(t, daemon, append(option, "-kill-after", "10s")...)
		p.await("log", "ready")
		now()
		p.endsLost()
		p.await("log", "got")
	})
	t.Run("its guard stops all", func(t *testing.T) {
		p := run(t, daemon, "-lease", "1h0m5s", "-kill-after", "1h")
		p.await("log", "ready")
		wrapper := childOf(p.Process.Pid)
		eventually(t, func() bool { return program.GuardOf(wrapper) != 0 }, "the guard to be ready")
		if err := syscall.Kill(wrapper, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		p.await("log", "got")
	})
	t.Run("collects while it waits", func(t *testing.T) {
		holder := withProgram(t, nil, "sh", "-c", "echo $$ >pid; exec sleep 300")
		holder.begin()
		holder.pid("pid")
		p := withProgram(t, []string{"--progress", "500ms"}, "true")
		p.Args = append([]string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child", p.Path},
			p.Args[1:]...)
		p.Path = mustLook(t, "unshare")
		p.begin()
		eventually(t, func() bool { return strings.Contains(p.stderr.String(), "waiting for ") },
			"it to wait")
		wrapper := childOf(p.Process.Pid)
		// Who looks into a container is no child of its process 1, but what it leaves behind
		// becomes one.
		enter := exec.Command(mustLook(t, "nsenter"), "--target", strconv.Itoa(wrapper), "--pid",
			"sh", "-c", "(exec >/dev/null 2>&1; until [ -e seen ]; do sleep 0.01; done) &")
		enter.Dir = p.dir
		if out, err := enter.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		adopted := func() int { return len(childrenOf(wrapper)) }
		eventually(t, func() bool { return adopted() > 0 }, "it to get a child")
		touch(t, p.path("seen"))
		eventually(t, func() bool { return adopted() == 0 }, "the child to be collected")
		holder.send(syscall.SIGTERM)
		if got := p.end(); got != 0 {
			t.Errorf("exit status %d, want 0", got)
		}
	})
	t.Run("exits 130", func(t *testing.T) {
		if got := run(t, "kill -INT $$").end(); got != 130 {
			t.Errorf("exit status %d, want 130", got)
		}
	})
}

// childOf returns the one child of a process.
func childOf(pid int) (child int) {
	if all := childrenOf(pid); len(all) > 0 {
		child, _ = strconv.Atoi(all[0])
	}
	return child
}

// childrenOf returns those of all threads of a process, zombies too.
func childrenOf(pid int) (all []string) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		all = append(all, strings.Fields(string(text))...)
	}
	return all
}

func atoi(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
