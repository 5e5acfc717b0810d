package wrapper

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/program"
)

func TestIdleGuardUsesNoProcessor(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "-lease", "1m", "--", "sh", "-c",
		"exec 3>&-; while ! [ -e release ]; do sleep 0.01; done")
	guard := p.guard()
	if used := settled(1, func() int { return ticks(guard) }); used > 1 {
		t.Errorf("%d ticks in a second", used)
	}
	p.release()
	p.end()
}

// TestRenewalsDoNotWakeTheGuard: it reads them at its deadline.
func TestRenewalsDoNotWakeTheGuard(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "-lease", "1m", "-renew", "10ms", "--", "sh", "-c",
		"exec 3>&-; while ! [ -e release ]; do sleep 0.01; done")
	guard := p.guard()
	n := settled(20, func() int { return turns(guard) })
	if n > 20 { // of up to five hundred renewals
		t.Errorf("the guard has had a processor %d times in a second", n)
	}
	p.release()
	p.end()
}

// settled is how much a number grows in a second. On a busy machine a guard takes some
// seconds until it has nothing more to do than that.
func settled(most int, number func() int) (grown int) {
	for range 10 {
		before := number()
		passes(time.Second)
		if grown = number() - before; grown <= most {
			break
		}
	}
	return grown
}

// turns counts how often the threads of a process have had a processor.
func turns(pid int) (n int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		if fields := strings.Fields(string(text)); len(fields) == 3 {
			times, _ := strconv.Atoi(fields[2])
			n += times
		}
	}
	return n
}

// ticks returns the processor time that pid has used, in hundredths of a second.
func ticks(pid int) int {
	fields := statFields(pid)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}

func TestKilledGuardIsReplaced(t *testing.T) {
	t.Parallel()
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "0s", "--", "sh", "-c",
		stubborn+`stubborn env; sleep 300`)
	daemon := p.pid("pid")
	first := p.guard()
	passes(1100 * time.Millisecond) // one that dies within a second is not replaced
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		second := program.GuardOf(p.Process.Pid)
		return second != 0 && second != first && openFiles(second) == guardsFiles
	}, "another guard to have the connection")
	p.send(syscall.SIGKILL)
	c.awaitClosed(t, daemon)
}

// TestGuardThatDiesAtOnceIsReported: and it is started again a second later.
func TestGuardThatDiesAtOnceIsReported(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "--", "sh", "-c", `while ! [ -e release ]; do sleep 0.01; done; exit 5`)
	first := p.guard()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		second := program.GuardOf(p.Process.Pid)
		return second != 0 && second != first
	}, "another guard")
	p.release()
	if got := p.end(); got != 5 {
		t.Errorf("exit status %d, want 5", got)
	}
	if !strings.Contains(p.stderr.String(), "there is no guard process (it died after ") {
		t.Skip("it lived for more than a second and was replaced at once")
	}
}

func TestCommandDiesWithBothAmqprunAndGuard(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "--", "sh", "-c",
		`trap "" HUP INT TERM; echo $$ >pid; while :; do sleep 1; done`)
	pid, guard := p.pid("pid"), p.guard()
	for _, victim := range []int{p.Process.Pid, guard} {
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return !alive(pid) }, "the command to die")
}

func TestGuardKeepsNothingButItsSocket(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{"close_range": nil,
		"an old kernel": {"-old-kernel"}} {
		t.Run(name, func(t *testing.T) { guardKeepsNothing(t, options) })
	}
}

func guardKeepsNothing(t *testing.T, options []string) {
	c := listen(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := prepare(t, append(options, "-guard", "-keep", c.address, "-lease", "1m", "--",
		"sh", "-c", "exec 3>&-; echo ready >log; while ! [ -e release ]; do sleep 0.01; done")...)
	p.ExtraFiles = []*os.File{w}
	p.begin()
	w.Close()
	p.await("log", "ready")
	guard := p.guard()
	eventually(t, func() bool { return openFiles(guard) == guardsFiles },
		"the guard to have open %q only, not %q", guardsFiles, openFiles(guard))
	if own := memory(t, guard); own > 2<<10 && !raceDetector {
		t.Errorf("the guard occupies %d KiB of its own", own)
	}
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
	p.release()
	p.end()
}

// guardsFiles is all that a guard has open: its end of the socket pair, and the duplicate
// of the connection.
const guardsFiles = "/dev/null /dev/null /dev/null socket socket"

// openFiles lists what pid has open, without what the Go runtime opens for itself: epoll,
// eventfd, timer, and the limits of the control group.
func openFiles(pid int) string {
	var open []string
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		target, _ := os.Readlink(link)
		if !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
			kind, _, _ := strings.Cut(target, ":[")
			open = append(open, kind)
		}
	}
	return strings.Join(open, " ")
}

// memory returns the KiB that pid shares with no other process: amqprun and its guard are
// one program, whose code is in memory once.
func memory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

func TestGuardSurvivesEveryCatchableSignal(t *testing.T) {
	t.Parallel()
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "0s", "--", "sh", "-c",
		stubborn+`stubborn env; sleep 300`)
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

// TestCommandSubstitutionDoesNotWaitForTheGuard: `$(amqprun ...)` reads until every
// holder of the pipe has closed it.
func TestCommandSubstitutionDoesNotWaitForTheGuard(t *testing.T) {
	t.Parallel()
	p := prepare(t, "-guard", "-kill-after", "1h", "--", "sh", "-c",
		`setsid sh -c 'trap "" TERM; echo $$ >pid; while :; do sleep 1; `+
			`done' >/dev/null 2>&1 & while ! [ -s pid ]; do :; done; echo out; kill -9 $PPID`)
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

// TestStoppedGuardHoldsNothingUp: whatever state it is in, it goes when it is not needed
// any more.
func TestStoppedGuardHoldsNothingUp(t *testing.T) {
	t.Parallel()
	option, now := lose(t)
	p := start(t, append(option, "-guard", "-kill-after", "0s", "--", "sh", "-c",
		"echo ready >log; sleep 300")...)
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

// TestGuardStoppedForLongIsReplaced: when it goes on it would act on the lease of the
// time when its socket was full.
func TestGuardStoppedForLongIsReplaced(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "-lease", "5s", "-renew", "10ms", "-kill-after", "1s", "--", "sh", "-c",
		"while ! [ -e release ]; do sleep 0.01; done; exit 3")
	guard := p.guard()
	if err := syscall.Kill(guard, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		now := program.GuardOf(p.Process.Pid)
		return now != 0 && now != guard
	}, "another guard")
	p.release()
	if got := p.end(); got != 3 {
		t.Errorf("exit status %d, want 3", got)
	}
}
