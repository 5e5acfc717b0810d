package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/program"
	"github.com/amqprun/amqprun/test/wrapper/wrap"
)

// process is a wrapper under test, with all that descends from it.
type process struct {
	*exec.Cmd
	t      *testing.T
	mark   string // in the environment of every process of this test that did not wipe its own
	dir    string
	stderr *lockedBuffer
	done   chan struct{} // closed when the wrapper has been collected
}

// lockedBuffer can be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts the wrapper with args: its options, "--", and the command.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := prepare(t, args...)
	p.begin()
	return p
}

// prepare is start without starting. The command's directory is p.dir.
func prepare(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), stderr: new(lockedBuffer), done: make(chan struct{})}
	p.mark = "WRAPPER_TEST=" + strconv.Itoa(os.Getpid()) + p.dir
	p.Cmd = exec.Command(os.Args[0], append([]string{wrap.Word}, args...)...)
	p.Dir, p.Stderr = p.dir, p.stderr
	p.Env = append(os.Environ(), p.mark, "DIR="+p.dir)
	p.WaitDelay = time.Second // what the command left behind may hold our pipe
	t.Cleanup(func() {
		for _, pid := range p.marked() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("stderr: %s", p.stderr)
		}
	})
	return p
}

// mustProgram returns the path of amqprun. It skips the test where there is no broker.
func mustProgram(t *testing.T) string {
	t.Helper()
	if os.Getenv("AMQPRUN_URL") == "" {
		t.Skip("needs a broker: AMQPRUN_URL is not set")
	}
	return program.Path(t)
}

// withProgram prepares a process like start's, of amqprun holding a mutex of this test.
func withProgram(t *testing.T, options []string, command ...string) *process {
	t.Helper()
	path := mustProgram(t)
	p := prepare(t)
	p.Path = path
	p.Args = append(append(append([]string{"amqprun", "--mutex",
		fmt.Sprintf("wrapper-%s-%d", t.Name(), os.Getpid())}, options...), "--"), command...)
	return p
}

func (p *process) begin() {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = p.Wait()
		close(p.done)
	}()
	p.t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.done
	})
}

// end waits for the wrapper and returns its exit status as a shell would show it.
func (p *process) end() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the wrapper does not end; alive: %v", describe(p.marked()))
	}
	if s := p.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
		return 128 + int(s.Signal())
	}
	return p.ProcessState.ExitCode()
}

// diedOf returns the signal that killed the wrapper itself.
func (p *process) isDone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) diedOf() syscall.Signal {
	return p.ProcessState.Sys().(syscall.WaitStatus).Signal()
}

func (p *process) send(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// path returns the absolute name of a file in the command's directory.
func (p *process) path(name string) string { return filepath.Join(p.dir, name) }

func (p *process) read(name string) string {
	b, _ := os.ReadFile(p.path(name))
	return string(b)
}

// await waits until a file of the command has a whole line that is want.
func (p *process) await(name, want string) {
	p.t.Helper()
	eventually(p.t, func() bool { return strings.Contains("\n"+p.read(name), "\n"+want+"\n") },
		"%s to say %q", name, want)
}

// pid waits until the command has written a pid to a file.
func (p *process) pid(name string) int {
	p.t.Helper()
	var pid int
	eventually(p.t, func() bool {
		text := p.read(name)
		n, err := strconv.Atoi(strings.TrimSpace(text))
		pid = n
		return err == nil && strings.HasSuffix(text, "\n")
	}, "a pid in %s", name)
	return pid
}

// eventually polls until cond holds.
func eventually(t *testing.T, cond func() bool, format string, args ...any) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for "+format, args...)
		}
	}
}

// passes lets d pass. It is never a way to wait for something, only for the time itself.
func passes(d time.Duration) { <-time.After(d) }

// alive reports whether pid exists and executes something, or may: a process that has
// begun to end does not.
func alive(pid int) bool {
	const exiting = 0x4 // PF_EXITING of the kernel's sched.h
	fields := statFields(pid)
	if len(fields) < 7 || fields[0] == "Z" || fields[0] == "X" {
		return false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 32)
	return err == nil && flags&exiting == 0
}

// state returns the letter of proc(5), 0 for no process.
func state(pid int) byte {
	if fields := statFields(pid); len(fields) > 0 {
		return fields[0][0]
	}
	return 0
}

// statFields returns what /proc/PID/stat has behind the name.
func statFields(pid int) []string {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
}

// carriers lists the living processes that have variable in their environment.
func carriers(variable string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		environ, err := os.ReadFile(file)
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		if err == nil && strings.Contains("\x00"+string(environ), "\x00"+variable+"\x00") && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// marked lists the living processes of this test but the wrapper itself.
func (p *process) marked() []int {
	return slices.DeleteFunc(carriers(p.mark),
		func(pid int) bool { return p.Process != nil && pid == p.Process.Pid })
}

// describe says of each of pids its parent, state and command line.
func describe(pids []int) (lines []string) {
	for _, pid := range pids {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		lines = append(lines,
			fmt.Sprintf("%d %.30s %s", pid, rest, strings.ReplaceAll(string(cmdline), "\x00", " ")))
	}
	return lines
}

// noneLeft fails if the test has left a process.
func (p *process) noneLeft() {
	p.t.Helper()
	if left := p.marked(); len(left) > 0 {
		p.t.Errorf("still alive: %v", describe(left))
	}
}

// guard waits for the wrapper's guard and returns its pid.
func (p *process) guard() int {
	p.t.Helper()
	var guard int
	eventually(p.t, func() bool {
		guard = program.GuardOf(p.Process.Pid)
		return guard != 0
	}, "the guard to be ready")
	p.t.Cleanup(func() {
		// A guard carries no mark, and one that a test has stopped does not end by itself.
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", guard)); string(comm) == "lock-guard\n" {
			_ = syscall.Kill(guard, syscall.SIGKILL)
		}
	})
	return guard
}

// lose returns the options that let a call of the function they come with end the lock.
func lose(t *testing.T) (options []string, now func()) {
	t.Helper()
	fifo := filepath.Join(t.TempDir(), "lose")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-lose", fifo}, func() {
		t.Helper()
		release(t, fifo)
	}
}

// release opens a FIFO when somebody reads it. The other side may have died instead.
func release(t *testing.T, fifo string) {
	t.Helper()
	eventually(t, func() bool {
		f, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			f.Close()
		}
		return err == nil
	}, "a reader of %s", filepath.Base(fifo))
}

func mustLook(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// stubborn is a shell function: it starts a process in a session of its own that notes
// SIGTERM and does not die of it. The process ends when a test calls release. On a busy
// machine it may need a second to note anything. So a test that waits for "got" gives a
// grace that it ends itself.
const stubborn = `stubborn() { setsid "$@" sh -c 'trap "echo got >>log" TERM; echo $$ >pid; ` +
	`while ! [ -e release ]; do sleep 0.01; done' & while ! [ -s pid ]; do sleep 0.01; done; }
`
