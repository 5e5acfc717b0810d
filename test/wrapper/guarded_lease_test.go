package wrapper

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestGuardEnforcesTheLeaseOnAStoppedAmqprun: SIGSTOP hits amqprun alone, its command
// runs on, the lease does not wait. The daemon has left group, session and environment,
// but not its parents.
func TestGuardEnforcesTheLeaseOnAStoppedAmqprun(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "-lease", "10s", "-renew", "100ms", "-kill-after", "4s", "--", "sh", "-c",
		stubborn+`trap "echo leader >>log" TERM; (stubborn env -i &); echo ready >>log; while :; `+
			`do sleep 0.01; done`)
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

// TestGuardSeesTheConnectionEndForAStoppedAmqprun: the lock is free then, long before the
// lease ends.
func TestGuardSeesTheConnectionEndForAStoppedAmqprun(t *testing.T) {
	t.Parallel()
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-lease", "2h", "-kill-after", "1h", "--", "sh", "-c",
		stubborn+`stubborn env; echo $$ >leader; sleep 300`)
	daemon, leader := p.pid("pid"), p.pid("leader")
	p.guard()
	p.send(syscall.SIGSTOP)
	c.end()
	p.await("log", "got")
	p.release()
	eventually(t, func() bool { return !alive(daemon) && !alive(leader) && len(p.marked()) == 0 },
		"the tree to die")
	p.send(syscall.SIGKILL)
}

// TestEndByTheGuardIsALoss: amqprun has to notice the loss too, which can take it longer
// than the command's end. Then it stops the rest of the tree.
func TestEndByTheGuardIsALoss(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"it is time to stop", "the connection has ended"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := listen(t)
			options, now := lose(t)
			options = append(options, "-guard", "-keep", broker.address, "-keep-when", "leader",
				"-kill-after", "3s")
			if strings.Contains(name, "time") {
				options = append(options, "-until", "1m", "-stop-after", "1s")
			}
			p := start(t, append(options, "--", "sh", "-c", stubborn+`stubborn env; trap "exit 0" TERM; `+
				`echo $$ >leader; while :; do sleep 0.01; done`)...)
			leader := p.pid("leader")
			p.guard()
			if !strings.Contains(name, "time") {
				broker.end()
			}
			eventually(t, func() bool { return !alive(leader) }, "the command to end")
			passes(50 * time.Millisecond) // so late amqprun notices the loss
			now()
			p.endsLost()
			p.await("log", "got")
		})
	}
}

// TestGuardReachesCarriersOfTheID: also a process that is no descendant of the stopped
// amqprun.
func TestGuardReachesCarriersOfTheID(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "-lease", "6s", "-renew", "100ms", "-kill-after", "700ms", "--", "sh",
		"-c", `echo "$AMQPRUN_ID" >id; echo ready >log; sleep 300`)
	p.await("log", "ready")
	adopted := prepare(t)
	adopted.Path, adopted.Args = "/bin/sh", []string{"sh", "-c",
		`trap "" TERM; echo ready >log; while :; do sleep 0.01; done`}
	adopted.Env = append(adopted.Env, "AMQPRUN_ID="+strings.TrimSpace(p.read("id")))
	adopted.begin()
	adopted.await("log", "ready")
	p.guard()
	p.send(syscall.SIGSTOP)
	if got := adopted.end(); got != 137 {
		t.Errorf("the adopted process ended with %d, want 137", got)
	}
	if state(p.Process.Pid) != 'T' {
		t.Error("the wrapper is not stopped any more")
	}
	p.send(syscall.SIGKILL)
}

// TestGuardKnowsTheNewestLease: it reads renewals late, and goes by the last of them.
func TestGuardKnowsTheNewestLease(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "-lease", "6s", "-renew", "100ms", "-kill-after", "500ms", "--", "sh",
		"-c", mortal)
	command := p.pid("pid")
	p.guard()
	passes(7 * time.Second) // more than the lease
	p.guardStops(command)
}

// mortal is a command that ends at the stop signal.
const mortal = `trap exit TERM; echo $$ >pid; while :; do sleep 0.01; done`

// guardStops stops amqprun. Its guard stops the command when the newest lease is over,
// and not earlier. On a busy machine the newest may be some seconds old.
func (p *process) guardStops(command int) {
	p.t.Helper()
	const earliest = time.Second // of 5.5 s from the renewal on
	p.send(syscall.SIGSTOP)
	begun := time.Now()
	eventually(p.t, func() bool { return !alive(command) }, "the guard to stop the command")
	if took := time.Since(begun); took < earliest {
		p.t.Errorf("the command was stopped after %v", took)
	}
	p.send(syscall.SIGCONT)
	p.endsLost()
}

// TestDeadlinesAreOnTheClockThatCountsSuspend: in a time namespace where the machine has
// slept for 11 days since it was booted. A deadline by any other clock would be 11 days
// off, and so be over at once, or not in this test.
func TestDeadlinesAreOnTheClockThatCountsSuspend(t *testing.T) {
	t.Parallel()
	p := prepare(t, "-guard", "-lease", "6s", "-renew", "100ms", "-kill-after", "500ms", "--", "sh",
		"-c", mortal)
	unshare := []string{"--time", "--boottime", "1000000"}
	if out, err := exec.Command(mustLook(t, "unshare"),
		append(unshare, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no time namespaces here: %s", out)
	}
	p.Path, p.Args = mustLook(t, "unshare"), append(append([]string{"unshare"}, unshare...), p.Args...)
	p.Args[len(unshare)+1] = os.Args[0]
	p.begin()
	command := p.pid("pid")
	p.guard()
	p.guardStops(command)
}

// TestStopSignalComesOnce: amqprun and its guard have the same deadline. A guard that is
// late to look finds that amqprun has sent it.
func TestStopSignalComesOnce(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "-lease", "8s", "-kill-after", "3s", "--", os.Args[0], "count-terms",
		"log")
	p.await("log", "ready")
	guard := p.guard()
	// Or it would be the first, where amqprun is half a second late.
	if err := syscall.Kill(guard, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.await("log", "terminated")
	if err := syscall.Kill(guard, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.endsLost()
	if got := p.read("log"); got != "ready\nterminated\n" {
		t.Errorf("the command got %q", got)
	}
}
