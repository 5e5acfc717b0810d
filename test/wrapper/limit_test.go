package wrapper

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// hog prepares a wrapper whose command uses up the limit of processes, when there is a
// file go. It has a user of its own, because a limit counts all processes of a user.
func hog(t *testing.T, n int, options ...string) *process {
	t.Helper()
	p := prepare(t, append(options, "-guard", "-kill-after", "200ms")...)
	p.hogs(n)
	return p
}

// hogs makes the command of a wrapper that is still without one.
func (p *process) hogs(n int) {
	p.t.Helper()
	if os.Getuid() != 0 {
		p.t.Skip("needs root, to be a user without other processes")
	}
	p.hogsAll()
	const first, tests = 100000, 4
	p.as(uint32(first + tests*os.Getpid() + n)) // no other run of these tests has that user
	limited := append([]string{"bash", "-c", `ulimit -u 60 && exec "$0" "$@"`, p.Path}, p.Args[1:]...)
	p.Path, p.Args = mustLook(p.t, "bash"), limited
}

// hogsAll has the command use up the limit that there is.
func (p *process) hogsAll() {
	p.t.Helper()
	p.Args = append(p.Args, "--", mustLook(p.t, "perl"), "-e", `
		sub say { open my $f, ">>", "log"; print $f "@_\n"; close $f }
		$SIG{TERM} = $SIG{CHLD} = "IGNORE"; say "ready";
		select undef, undef, undef, 0.01 until -e "go";
		for (1 .. 100) { defined(my $pid = fork) or last;
			unless ($pid) { setpgrp if rand() < 0.5; sleep 300; exit } }
		say "full"; open my $full, ">", "full"; sleep 300`)
}

// fillsGuarded starts a hog, which uses up the limit when it has a guard.
func (p *process) fillsGuarded() {
	p.t.Helper()
	p.begin()
	p.await("log", "ready")
	p.guard()
	p.let()
	p.await("log", "full")
}

// TestEvictionAtTheLimitOfProcesses: amqprun has more to do than the test's own wrapper.
func TestEvictionAtTheLimitOfProcesses(t *testing.T) {
	t.Parallel()
	name, change := withSlot(t)
	p := amqprun(t, "", "--kill-after", "200ms", "--check-interval", "200ms", "--semaphore", name)
	p.hogs(3)
	p.let()
	p.begin()
	p.await("log", "full")
	change("--to", "0")
	p.endsLost()
}

// TestLossAtTheLimitOfProcesses: amqprun can make no thread then, and stops the tree.
func TestLossAtTheLimitOfProcesses(t *testing.T) {
	t.Parallel()
	option, now := lose(t)
	accessible(t, option[1])
	p := hog(t, 0, option...)
	p.fillsGuarded()
	now()
	p.endsLost()
}

// TestKillAtTheLimitOfProcesses: the guard can make no thread then, and stops the tree.
func TestKillAtTheLimitOfProcesses(t *testing.T) {
	t.Parallel()
	c := listen(t)
	p := hog(t, 1, "-keep", c.address)
	p.fillsGuarded()
	p.send(syscall.SIGKILL)
	c.awaitClosed(t, p.marked()...)
	p.end()
	p.noneLeft()
}

// TestLimitOfProcessesBeforeTheGuard: that is reported, the loss stops the tree, and a
// guard comes as soon as there is room for it.
func TestLimitOfProcessesBeforeTheGuard(t *testing.T) {
	t.Parallel()
	option, now := lose(t)
	accessible(t, option[1])
	p := hog(t, 2, append(option, "-keep", listen(t).address, "-keep-when", "full")...)
	p.let()
	p.begin()
	eventually(t, func() bool {
		return strings.Contains(p.stderr.String(), "there is no guard process")
	}, "the warning")
	for _, pid := range childrenOf(atoi(childrenOf(p.Process.Pid)[0]))[:20] {
		_ = syscall.Kill(atoi(pid), syscall.SIGKILL)
	}
	p.guard()
	now()
	p.endsLost()
}
