package wrapper

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/program"
)

func TestKillOfAmqprunStopsTheTreeAndThenClosesTheConnection(t *testing.T) {
	t.Parallel()
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "1h", "--", "sh", "-c",
		stubborn+`stubborn env; echo $$ >leader; sleep 300`)
	daemon, leader := p.pid("pid"), p.pid("leader")
	p.guard()
	p.send(syscall.SIGKILL)
	p.await("log", "got")
	eventually(t, func() bool { return !alive(leader) }, "the leader to die with amqprun")
	if !alive(daemon) || c.isClosed() {
		t.Error("no grace")
	}
	p.release()
	c.awaitClosed(t, daemon, leader)
	p.noneLeft()
}

func TestGuardKillsAfterTheGrace(t *testing.T) {
	t.Parallel()
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "300ms", "--", "sh", "-c",
		stubborn+`stubborn env; sleep 300`)
	daemon := p.pid("pid")
	p.guard()
	begun := time.Now()
	p.send(syscall.SIGKILL)
	c.awaitClosed(t, daemon)
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("killed after %v", took)
	}
	p.noneLeft()
}

// TestKillOfAmqprunsGroup: what ends a job of a shell by SIGKILL hits neither the guard
// nor the command, which have groups of their own.
func TestKillOfAmqprunsGroup(t *testing.T) {
	t.Parallel()
	c := listen(t)
	p := prepare(t, "-guard", "-keep", c.address, "-kill-after", "1h", "--", "sh", "-c",
		stubborn+`stubborn env; echo $$ >leader; sleep 300`)
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.begin()
	daemon, leader := p.pid("pid"), p.pid("leader")
	p.guard()
	if err := syscall.Kill(-p.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.await("log", "got")
	p.release()
	c.awaitClosed(t, daemon, leader)
	p.noneLeft()
}

// TestKillDuringTheStartOfTheGuard: the guard reads its orders, whenever it gets there.
func TestKillDuringTheStartOfTheGuard(t *testing.T) {
	t.Parallel()
	for range 20 {
		c := listen(t)
		p := start(t, "-guard", "-keep", c.address, "-kill-after", "0s", "--", "sh", "-c",
			`echo $$ >leader; setsid sh -c 'echo $$ >pid; exec sleep 300' & exec sleep 300`)
		leader, daemon := p.pid("leader"), p.pid("pid")
		wrapper := p.Process.Pid
		eventually(t, func() bool { return len(childrenOf(wrapper)) == 2 }, "the guard's process")
		p.send(syscall.SIGKILL)
		c.awaitClosed(t, leader, daemon)
		p.end()
		p.noneLeft()
	}
}

// TestKillBeforeTheGuard: the leader dies with amqprun, and the connection ends. What
// else the command has started goes on.
func TestKillBeforeTheGuard(t *testing.T) {
	t.Parallel()
	for range 20 {
		c := listen(t)
		p := start(t, "-guard", "-keep", c.address, "-kill-after", "0s", "--", "sh", "-c",
			`echo $$ >leader; exec sleep 300`)
		leader := p.pid("leader")
		p.send(syscall.SIGKILL)
		p.end()
		eventually(t, func() bool { return !alive(leader) }, "the leader to die with amqprun")
		c.awaitClosed(t)
		p.noneLeft()
	}
}

// inGrace starts a command with a daemon that ignores the stop signal, and loses its lock
// so long before the end of the lease. It returns when the daemon has that signal.
func inGrace(
	t *testing.T, grace time.Duration, lease string,
) (p *process, c *connection, daemon int) {
	t.Helper()
	c = listen(t)
	option, now := lose(t)
	p = start(t, append(option, "-guard", "-keep", c.address, "-lease", lease, "-renew", "100ms",
		"-kill-after", grace.String(), "--", "sh", "-c", stubborn+`stubborn env; sleep 300`)...)
	daemon = p.pid("pid")
	p.guard()
	now()
	p.await("log", "got")
	return p, c, daemon
}

// TestGuardEndsTheGraceWithTheLease: amqprun is killed in the grace that it has given
// itself. The guard does not give another one.
func TestGuardEndsTheGraceWithTheLease(t *testing.T) {
	t.Parallel()
	const grace = 8 * time.Second
	p, c, daemon := inGrace(t, grace, "10s")
	passes(5 * time.Second)
	killed := time.Now()
	p.send(syscall.SIGKILL)
	c.awaitClosed(t, daemon)
	if took := time.Since(killed); took > grace {
		t.Errorf("killed %v after amqprun", took)
	}
}

// TestGuardEndsTheGraceThatHasBegun: amqprun is killed, or stopped, in the grace. The
// lease has long to go, but the broker has ended the connection, and the lock is free.
func TestGuardEndsTheGraceThatHasBegun(t *testing.T) {
	t.Parallel()
	const grace = 8 * time.Second
	for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			p, c, daemon := inGrace(t, grace, "1m")
			c.end()
			passes(5 * time.Second)
			hit := time.Now()
			p.send(s)
			eventually(t, func() bool { return !alive(daemon) }, "the daemon to die")
			if took, since := time.Since(begun), time.Since(hit); took < grace || since > grace {
				t.Errorf("killed %v after the start, %v after %v of amqprun", took, since, s)
			}
		})
	}
}

func TestGuardLetsGoAtOnceWhenNothingWasStarted(t *testing.T) {
	t.Parallel()
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "1h", "--", "no-such-command")
	if got := p.end(); got != 127 {
		t.Errorf("exit status %d, want 127", got)
	}
	c.awaitClosed(t)
}

// TestGuardOfANestedRunIsSpared: the loss of the outer lock kills the inner amqprun,
// whose guard then has to outlive its tree.
func TestGuardOfANestedRunIsSpared(t *testing.T) {
	t.Parallel()
	outer, inner := listen(t), listen(t)
	option, now := lose(t)
	p := start(t, append(option, "-guard", "-keep", outer.address, "-kill-after", "100ms", "--",
		os.Args[0], "wrap", "-guard", "-keep", inner.address, "-kill-after", "1h", "--", "sh", "-c",
		stubborn+`trap "" TERM; stubborn env -i; while :; do sleep 1; done`)...)
	daemon := p.pid("pid")
	innerGuard := 0
	eventually(t, func() bool {
		for _, pid := range p.marked() {
			if g := program.GuardOf(pid); g != 0 {
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
	t.Parallel()
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "0s", "--", "sh", "-c",
		stubborn+`stubborn env; exit 0`)
	if got := p.end(); got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
	c.awaitClosed(t)
	passes(50 * time.Millisecond)
	if !alive(p.pid("pid")) {
		t.Error("the orphan was killed")
	}
}
