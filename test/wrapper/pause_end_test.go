package wrapper

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/wrapper/wrap"
)

// TestKillOfAmqprunWhilePaused: the guard kills what nobody would continue.
func TestKillOfAmqprunWhilePaused(t *testing.T) {
	t.Parallel()
	l := newPausable(t)
	p := l.start([]string{"-kill-after", "1h"}, "sh", "-c",
		`setsid sh -c 'trap "echo term >>other" TERM; `+looping("other")+`' & `+looping("log"))
	p.goesOn("log", "other")
	l.pause()
	p.awaitPaused(1)
	p.guard()
	before := p.read("log") + p.read("other")
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(p.marked()) == 0 }, "the tree to be killed")
	if after := p.read("log") + p.read("other"); after != before {
		t.Errorf("the command went on: %q", strings.TrimPrefix(after, before))
	}
}

// TestGuardLivesThroughAPause: at the limit of processes there could be no other one. It
// lets go of the lost connection, and keeps the next one open.
func TestGuardLivesThroughAPause(t *testing.T) {
	t.Parallel()
	broker := listen(t)
	l := newPausable(t)
	p := l.start([]string{"-keep", broker.address, "-kill-after", "1h"}, "sh", "-c",
		stubborn+`stubborn env; echo $$ >leader; `+looping("log"))
	daemon, leader := p.pid("pid"), p.pid("leader")
	p.goesOn("log")
	guard := p.guard()
	for round := 1; round <= 2; round++ {
		l.pause()
		p.awaitPaused(round)
		broker.awaitClosed(t)
		broker = broker.next(t)
		l.regain()
		p.goesOn("log")
		if now := p.guard(); now != guard {
			t.Errorf("the guard is %v", describe([]int{now}))
		}
	}
	p.send(syscall.SIGKILL)
	p.await("log", "got")
	if broker.isClosed() {
		t.Error("the lock is free while the command has its grace")
	}
	touch(t, p.path("release"))
	broker.awaitClosed(t, daemon, leader)
}

// TestPauseThatCannotStopAllKills: a set-uid program gets no SIGSTOP of amqprun.
func TestPauseThatCannotStopAllKills(t *testing.T) {
	t.Parallel()
	l := newPausable(t)
	accessible(t, l.options[1])
	accessible(t, l.fifo)
	p, command := unkillable(t, append(l.options, "-until", "2s", "-status", "status")...)
	child := p.pid("child")
	l.pause()
	if got := p.end(); got != wrap.ExitLost {
		t.Errorf("exit status %d, want %d", got, wrap.ExitLost)
	}
	if got := p.stderr.String(); !strings.Contains(got, "cannot be stopped by SIGSTOP") ||
		strings.Contains(got, "wrap: paused") {
		t.Error(got)
	}
	if got := p.read("status"); !strings.Contains(got, "stopped=true unfinished=true") ||
		!strings.Contains(got, "paused=false") {
		t.Errorf("status %q", got)
	}
	if !alive(command) || alive(child) {
		t.Error(describe([]int{command, child}))
	}
}

// TestPauseOfAHiddenProcessKills: hidepid of proc(5) hides a set-uid program, whose state
// nobody can see then. A PID namespace of its own keeps hidepid from all others.
func TestPauseOfAHiddenProcessKills(t *testing.T) {
	t.Parallel()
	for _, hidepid := range []string{"1", "2"} {
		l := newPausable(t)
		accessible(t, l.options[1])
		accessible(t, l.fifo)
		p := prepareUnkillable(t, append(l.options, "-until", "2s")...)
		p.Args = append([]string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
			`mount -o remount,hidepid=` + hidepid + ` /proc && ` +
				fmt.Sprintf(`setpriv --reuid %d --regid %[1]d --clear-groups "$@"; exit $?`, nobody),
			"sh", p.Path}, p.Args[1:]...)
		p.Path, p.SysProcAttr = mustLook(t, "unshare"), nil
		p.begin()
		p.pid("pid")
		l.pause()
		if got := p.end(); got != wrap.ExitLost {
			t.Errorf("hidepid=%s: exit status %d, want %d", hidepid, got, wrap.ExitLost)
		}
		if got := p.stderr.String(); !strings.Contains(got, "cannot be stopped by SIGSTOP") ||
			strings.Contains(got, "wrap: paused") {
			t.Errorf("hidepid=%s: %s", hidepid, got)
		}
	}
}

// TestPauseOutlivesTheLease: neither amqprun nor its guard ends a paused command when the
// lease is over, nor when the broker closes the connection. From then on the guard leaves
// amqprun the grace to pause: three seconds, for a busy machine.
func TestPauseOutlivesTheLease(t *testing.T) {
	t.Parallel()
	broker := listen(t)
	l := newPausable(t)
	p := l.start([]string{"-keep", broker.address, "-kill-after", "3s", "-until", "3s"}, "sh", "-c",
		`echo $$ >pid; `+looping("log"))
	leader := p.pid("pid")
	p.goesOn("log")
	p.guard()
	broker.end()
	l.pause()
	p.awaitPaused(1)
	broker.awaitClosed(t) // the lock could not be regained before
	passes(3500 * time.Millisecond)
	if !alive(leader) {
		t.Fatal("the guard has killed the command")
	}
	l.regain()
	p.endsLost() // the lease of this wrapper is not renewed
}

// TestPauseThatIsNoneLeavesTheGrace: a loss that is no reason to pause stops the command
// as always.
func TestPauseThatIsNoneLeavesTheGrace(t *testing.T) {
	t.Parallel()
	p := start(t, "-regain", "nothing", "-guard", "-lease", "7s", "-kill-after", "4s", "--", "sh",
		"-c", `trap "echo term >>log; exit" TERM; echo ready >>log; while :; do sleep 0.01; done`)
	if got := p.end(); got != wrap.ExitLost {
		t.Errorf("exit status %d", got)
	}
	p.await("log", "term")
}
