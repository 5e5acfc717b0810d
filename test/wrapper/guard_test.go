package wrapper

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// connection is what the guard keeps open: the test's end of it sees the end of file when all holders have let go.
type connection struct {
	address string
	closed  chan struct{}
}

func listen(t *testing.T) *connection {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &connection{l.Addr().String(), make(chan struct{})}
	go func() {
		defer close(c.closed)
		conn, err := l.Accept()
		if err == nil {
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-c.closed
	})
	return c
}

func (c *connection) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// awaitClosed waits for the end of file, and fails if one of pids is alive then.
func (c *connection) awaitClosed(t *testing.T, pids ...int) {
	t.Helper()
	select {
	case <-c.closed:
	case <-time.After(patience):
		t.Fatal("the connection stays open")
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("the connection was closed while %d was alive", pid)
		}
	}
}

// stubborn is a shell function: it starts a process in a session of its own that notes SIGTERM and does not die of it.
const stubborn = `stubborn() { setsid "$@" sh -c 'trap "echo got >>log" TERM; echo $$ >pid; while :; do sleep 0.01; done' & while ! [ -s pid ]; do sleep 0.01; done; }
`

func TestKillOfAmqprunStopsTheTreeAndThenClosesTheConnection(t *testing.T) {
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "300ms", "--", "sh", "-c", stubborn+`stubborn env; echo $$ >leader; sleep 300`)
	daemon, leader := p.pid("pid"), p.pid("leader")
	begun := time.Now()
	p.send(syscall.SIGKILL)
	p.await("log", "got")
	if !alive(daemon) || c.isClosed() {
		t.Error("no grace")
	}
	c.awaitClosed(t, daemon, leader)
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("took %v, less than the grace", took)
	}
	p.noneLeft()
}

// TestKillDuringTheStartOfTheGuard: what was written into the socket is read, whenever the guard gets there.
func TestKillDuringTheStartOfTheGuard(t *testing.T) {
	for range 20 {
		c := listen(t)
		p := start(t, "-guard", "-keep", c.address, "-kill-after", "0s", "--", "sh", "-c", `echo $$ >leader; setsid sh -c 'echo $$ >pid; sleep 300' & sleep 300`)
		leader := p.pid("leader")
		p.send(syscall.SIGKILL)
		c.awaitClosed(t, leader)
		p.end()
		p.noneLeft()
	}
}

func TestGuardEndsTheGraceWithTheLease(t *testing.T) {
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-lease", "1s", "-kill-after", "500ms", "--", "sh", "-c", stubborn+`stubborn env; sleep 300`)
	daemon := p.pid("pid")
	p.send(syscall.SIGKILL)
	c.awaitClosed(t, daemon)
	p.await("log", "got")
}

func TestGuardLetsGoAtOnceWhenNothingWasStarted(t *testing.T) {
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "1h", "--", "no-such-command")
	if got := p.end(); got != 127 {
		t.Errorf("exit status %d, want 127", got)
	}
	c.awaitClosed(t)
}

// TestGuardEnforcesTheLeaseOnAStoppedAmqprun: SIGSTOP hits amqprun alone, its command runs on, the lease does not wait. The daemon has
// left group, session and environment, but not its parents.
func TestGuardEnforcesTheLeaseOnAStoppedAmqprun(t *testing.T) {
	p := start(t, "-guard", "-lease", "1500ms", "-kill-after", "700ms", "--", "sh", "-c", stubborn+`trap "echo leader >>log" TERM; (stubborn env -i &); echo ready >>log; while :; do sleep 0.01; done`)
	daemon := p.pid("pid")
	p.await("log", "ready")
	p.guard()
	p.send(syscall.SIGSTOP)
	eventually(t, func() bool { return !alive(daemon) }, "the daemon to die")
	eventually(t, func() bool { return len(p.marked()) == 0 }, "the tree to die")
	p.await("log", "got")
	p.await("log", "leader")
	if state(p.Process.Pid) != 'T' {
		t.Error("the wrapper is not stopped any more")
	}
	p.send(syscall.SIGCONT)
	p.endsLost()
}

// TestDeadlinesAreOnTheClockThatCountsSuspend: in a time namespace where the machine has slept for 11 days since it was booted. A
// deadline by any other clock would be 11 days off.
func TestDeadlinesAreOnTheClockThatCountsSuspend(t *testing.T) {
	p := prepare(t, "-guard", "-lease", "1500ms", "-kill-after", "700ms", "--", "sh", "-c", `trap "echo got >>log" TERM; echo $$ >pid; while :; do sleep 0.01; done`)
	unshare := []string{"--time", "--boottime", "1000000"}
	if out, err := exec.Command(mustLook(t, "unshare"), append(unshare, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no time namespaces here: %s", out)
	}
	p.Path, p.Args = mustLook(t, "unshare"), append(append([]string{"unshare"}, unshare...), p.Args...)
	p.Args[len(unshare)+1] = os.Args[0]
	p.begin()
	command := p.pid("pid")
	p.send(syscall.SIGSTOP)
	eventually(t, func() bool { return !alive(command) }, "the guard to kill the command")
	p.await("log", "got")
	p.send(syscall.SIGCONT)
	p.endsLost()
}

func TestIdleGuardUsesNoProcessor(t *testing.T) {
	p := start(t, "-guard", "-lease", "1m", "--", "sh", "-c", "exec 3>&-; while ! [ -e release ]; do sleep 0.01; done")
	guard := p.guard()
	passes(100 * time.Millisecond)
	before := ticks(guard)
	passes(500 * time.Millisecond)
	if used := ticks(guard) - before; used > 1 {
		t.Errorf("%d ticks in half a second", used)
	}
	p.write("release", "")
	p.end()
}

// ticks returns the processor time that pid has used, in hundredths of a second.
func ticks(pid int) int {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}

// TestStopSignalComesOnce: amqprun and its guard have the same deadline.
func TestStopSignalComesOnce(t *testing.T) {
	p := start(t, "-guard", "-lease", "3s", "-kill-after", "2s", "--", os.Args[0], "count-terms", "log")
	p.await("log", "ready")
	p.guard()
	p.endsLost()
	if got := p.read("log"); got != "ready\nterminated\n" {
		t.Errorf("the command got %q", got)
	}
}

func TestKilledGuardIsReplaced(t *testing.T) {
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "0s", "--", "sh", "-c", stubborn+`stubborn env; sleep 300`)
	daemon := p.pid("pid")
	first := p.guard()
	passes(1100 * time.Millisecond) // one that dies within a second is not replaced
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		second := guardOf(p.Process.Pid)
		return second != 0 && second != first && openFiles(second) == guardsFiles
	}, "another guard to have the connection")
	p.send(syscall.SIGKILL)
	c.awaitClosed(t, daemon)
}

func TestGuardThatDiesAtOnceIsReported(t *testing.T) {
	p := start(t, "-guard", "--", "sh", "-c", `while ! [ -e release ]; do sleep 0.01; done; exit 5`)
	if err := syscall.Kill(p.guard(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return guardOf(p.Process.Pid) == 0 }, "the guard to die")
	p.write("release", "")
	if got := p.end(); got != 5 {
		t.Errorf("exit status %d, want 5", got)
	}
	if !strings.Contains(p.stderr.String(), "the guard process has died") {
		t.Skip("it lived for more than a second and was replaced")
	}
}

func TestCommandDiesWithBothAmqprunAndGuard(t *testing.T) {
	p := start(t, "-guard", "--", "sh", "-c", `trap "" HUP INT TERM; echo $$ >pid; while :; do sleep 1; done`)
	pid, guard := p.pid("pid"), p.guard()
	for _, victim := range []int{p.Process.Pid, guard} {
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return !alive(pid) }, "the command to die")
}

func TestGuardKeepsNothingButItsSocket(t *testing.T) {
	c := listen(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := prepare(t, "-guard", "-keep", c.address, "-lease", "1m", "--", "sh", "-c", "exec 3>&-; echo ready >log; while ! [ -e release ]; do sleep 0.01; done")
	p.ExtraFiles = []*os.File{w}
	p.begin()
	w.Close()
	p.await("log", "ready")
	guard := p.guard()
	eventually(t, func() bool { return openFiles(guard) == guardsFiles }, "the guard to have open %q only", guardsFiles)
	eventually(t, func() bool { return memory(t, guard) <= 4<<10 || raceDetector }, "the guard to give back its memory")
	if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", guard)); cwd != "/" {
		t.Errorf("the guard is in %s", cwd)
	}
	if sid, _, _ := syscall.Syscall(syscall.SYS_GETSID, uintptr(guard), 0, 0); int(sid) != guard {
		t.Errorf("the guard is in session %d", sid)
	}
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", guard))
	if string(cmdline) != "lock-guard\x00" {
		t.Errorf("the guard is called %q", cmdline)
	}
	t.Logf("the guard occupies %d KiB", memory(t, guard))
	p.write("release", "")
	p.end()
}

// guardsFiles is all that a guard has open: its end of the socket pair, and the duplicate of the connection.
const guardsFiles = "/dev/null /dev/null /dev/null socket socket"

// openFiles lists what pid has open, without the runtime's own epoll, eventfd and timer.
func openFiles(pid int) string {
	var open []string
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		target, _ := os.Readlink(link)
		if kind, _, _ := strings.Cut(target, ":["); kind != "anon_inode" && !strings.HasPrefix(target, "anon_inode:") {
			open = append(open, kind)
		}
	}
	return strings.Join(open, " ")
}

func memory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

func TestGuardSurvivesEveryCatchableSignal(t *testing.T) {
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "0s", "--", "sh", "-c", stubborn+`stubborn env; sleep 300`)
	daemon, guard := p.pid("pid"), p.guard()
	for s := syscall.Signal(1); s <= 64; s++ {
		if s != syscall.SIGKILL && s != syscall.SIGSTOP {
			_ = syscall.Kill(guard, s)
		}
	}
	passes(50 * time.Millisecond)
	if !alive(guard) || state(guard) == 'T' {
		t.Fatalf("the guard is in state %q", state(guard))
	}
	p.send(syscall.SIGKILL)
	c.awaitClosed(t, daemon)
}

// TestGuardOfANestedRunIsSpared: the loss of the outer lock kills the inner amqprun, whose guard then has to outlive its tree.
func TestGuardOfANestedRunIsSpared(t *testing.T) {
	outer, inner := listen(t), listen(t)
	option, now := lose(t)
	p := start(t, append(option, "-guard", "-keep", outer.address, "-kill-after", "100ms", "--",
		os.Args[0], "wrap", "-guard", "-keep", inner.address, "-kill-after", "1h", "--", "sh", "-c", stubborn+`trap "" TERM; stubborn env -i; while :; do sleep 1; done`)...)
	daemon := p.pid("pid")
	innerGuard := 0
	eventually(t, func() bool {
		for _, pid := range p.marked() {
			if g := guardOf(pid); g != 0 {
				innerGuard = g
			}
		}
		return innerGuard != 0
	}, "the inner guard")
	// Stopped, it cannot end by itself: the outer amqprun has to wait for it.
	if err := syscall.Kill(innerGuard, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return state(innerGuard) == 'T' }, "the inner guard to stop")
	now()
	eventually(t, func() bool { return !alive(daemon) }, "the daemon to die")
	passes(200 * time.Millisecond)
	if state(innerGuard) != 'T' || inner.isClosed() {
		t.Error("the inner guard was killed")
	}
	_ = syscall.Kill(innerGuard, syscall.SIGCONT)
	inner.awaitClosed(t, daemon)
	p.endsLost()
	outer.awaitClosed(t, daemon)
}

func TestGuardLetsOrphansOfANormalEndLive(t *testing.T) {
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "0s", "--", "sh", "-c", stubborn+`stubborn env; exit 0`)
	if got := p.end(); got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
	c.awaitClosed(t)
	passes(50 * time.Millisecond)
	if !alive(p.pid("pid")) {
		t.Error("the orphan was killed")
	}
}

// TestCommandSubstitutionDoesNotWaitForTheGuard: `$(amqprun ...)` reads until every holder of the pipe has closed it.
func TestCommandSubstitutionDoesNotWaitForTheGuard(t *testing.T) {
	p := prepare(t, "-guard", "-kill-after", "1h", "--", "sh", "-c", `setsid sh -c 'trap "" TERM; echo $$ >pid; while :; do sleep 1; done' >/dev/null 2>&1 & while ! [ -s pid ]; do :; done; echo out; kill -9 $PPID`)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p.Stdout, p.Stderr = w, nil
	p.begin()
	w.Close()
	// The daemon lives in its grace of an hour, and so does the guard.
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(r); err != nil || string(out) != "out\n" {
		t.Errorf("read %q, %v", out, err)
	}
	if !alive(p.pid("pid")) {
		t.Error("the daemon is dead, so the test has shown nothing")
	}
}

// TestStoppedGuardHoldsNothingUp: whatever state it is in, it goes when it is not needed any more.
func TestStoppedGuardHoldsNothingUp(t *testing.T) {
	option, now := lose(t)
	p := start(t, append(option, "-guard", "-kill-after", "0s", "--", "sh", "-c", "echo ready >log; sleep 300")...)
	p.await("log", "ready")
	guard := p.guard()
	if err := syscall.Kill(guard, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return state(guard) == 'T' }, "the guard to stop")
	now()
	p.endsLost()
	if alive(guard) {
		t.Error("the guard is alive")
	}
}
