package wrapper

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// connection is what the guard keeps open: the test's end of it sees the end of file when
// all holders have let go.
type connection struct {
	listener net.Listener
	address  string
	accepted chan net.Conn
	closed   chan struct{}
}

func listen(t *testing.T) *connection {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return accept(t, l)
}

func accept(t *testing.T, l net.Listener) *connection {
	c := &connection{l, l.Addr().String(), make(chan net.Conn, 1), make(chan struct{})}
	go func() {
		defer close(c.closed)
		conn, err := l.Accept()
		if err == nil {
			c.accepted <- conn
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

// next is the connection that is made when this one has ended.
func (c *connection) next(t *testing.T) *connection { return accept(t, c.listener) }

// end is the end of the connection as a broker makes it.
func (c *connection) end() { _ = (<-c.accepted).(*net.TCPConn).CloseWrite() }

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
			t.Errorf("the connection was closed while %d was alive: %s", pid, describe([]int{pid}))
		}
	}
}

// stubborn is a shell function: it starts a process in a session of its own that notes
// SIGTERM and does not die of it. The process ends when a test calls release. On a busy
// machine it may need a second to note anything. So a test that waits for "got" gives a
// grace that it ends itself.
const stubborn = `stubborn() { setsid "$@" sh -c 'trap "echo got >>log" TERM; echo $$ >pid; ` +
	`while ! [ -e release ]; do sleep 0.01; done' & while ! [ -s pid ]; do sleep 0.01; done; }
`

func TestKillOfAmqprunStopsTheTreeAndThenClosesTheConnection(t *testing.T) {
	t.Parallel()
	c := listen(t)
	p := start(t, "-guard", "-keep", c.address, "-kill-after", "1h", "--", "sh", "-c",
		stubborn+`stubborn env; echo $$ >leader; sleep 300`)
	daemon, leader := p.pid("pid"), p.pid("leader")
	p.guard()
	p.send(syscall.SIGKILL)
	p.await("log", "got")
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

// TestGuardEndsTheGraceWithTheLease: amqprun is killed in the grace that it has given
// itself. The guard does not give another one.
func TestGuardEndsTheGraceWithTheLease(t *testing.T) {
	t.Parallel()
	const grace = 8 * time.Second
	c := listen(t)
	option, now := lose(t)
	p := start(t, append(option, "-guard", "-keep", c.address, "-lease", "10s", "-renew", "100ms",
		"-kill-after", grace.String(), "--", "sh", "-c", stubborn+`stubborn env; sleep 300`)...)
	daemon := p.pid("pid")
	p.guard()
	now() // 10 s before the end of the lease
	p.await("log", "got")
	passes(5 * time.Second)
	killed := time.Now()
	p.send(syscall.SIGKILL)
	c.awaitClosed(t, daemon)
	if took := time.Since(killed); took > grace {
		t.Errorf("killed %v after amqprun", took)
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

// TestGuardEnforcesTheLeaseOnAStoppedAmqprun: SIGSTOP hits amqprun alone, its command
// runs on, the lease does not wait. The daemon has left group, session and environment,
// but not its parents.
func TestGuardEnforcesTheLeaseOnAStoppedAmqprun(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "-lease", "6s", "-renew", "100ms", "-kill-after", "4s", "--", "sh", "-c",
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

// TestEndByTheGuardIsALoss: amqprun has to notice the loss too, which can take it longer
// than the command's end. Then it stops the rest of the tree.
func TestEndByTheGuardIsALoss(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"it is time to stop", "the connection has ended"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := listen(t)
			options, now := lose(t)
			options = append(options, "-guard", "-keep", broker.address, "-kill-after", "3s")
			if strings.Contains(name, "time") {
				options = append(options, "-until", "10s", "-stop-after", "1s")
			}
			p := start(t, append(options, "--", "sh", "-c", stubborn+`stubborn env; echo $$ >leader; `+
				`trap "exit 0" TERM; while :; do sleep 0.01; done`)...)
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
	p := start(t, "-guard", "-lease", "3s", "-renew", "100ms", "-kill-after", "700ms", "--", "sh",
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
	p := start(t, "-guard", "-lease", "3s", "-renew", "100ms", "-kill-after", "500ms", "--", "sh",
		"-c", mortal)
	command := p.pid("pid")
	p.guard()
	passes(4 * time.Second) // more than the lease
	p.guardStops(command, 2*time.Second)
}

// mortal is a command that ends at the stop signal.
const mortal = `trap exit TERM; echo $$ >pid; while :; do sleep 0.01; done`

// guardStops stops amqprun. Its guard stops the command when the newest lease is over,
// and not earlier.
func (p *process) guardStops(command int, earliest time.Duration) {
	p.t.Helper()
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
	p := prepare(t, "-guard", "-lease", "3s", "-renew", "100ms", "-kill-after", "500ms", "--", "sh",
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
	p.guardStops(command, 2*time.Second)
}

// TestStopSignalComesOnce: amqprun and its guard have the same deadline.
func TestStopSignalComesOnce(t *testing.T) {
	t.Parallel()
	p := start(t, "-guard", "-lease", "8s", "-kill-after", "3s", "--", os.Args[0], "count-terms",
		"log")
	p.await("log", "ready")
	p.guard()
	p.endsLost()
	if got := p.read("log"); got != "ready\nterminated\n" {
		t.Errorf("the command got %q", got)
	}
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
