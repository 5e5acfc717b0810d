package wrapper

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/wrapper/wrap"
)

// lost starts a command, waits until it has written "ready" into log, and ends the lock.
func lost(t *testing.T, options []string, command ...string) *process {
	t.Helper()
	option, now := lose(t)
	p := start(t, append(append(append(option, options...), "--"), command...)...)
	p.await("log", "ready")
	now()
	return p
}

func (p *process) endsLost() {
	p.t.Helper()
	if got := p.end(); got != wrap.ExitLost {
		p.t.Errorf("exit status %d, want %d", got, wrap.ExitLost)
	}
	p.noneLeft()
}

func TestLossSendsTheStopSignalFirst(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"TERM", "INT", "USR1"} {
		p := lost(t, []string{"-guard", "-signal", name, "-kill-after", "1h"}, "sh", "-c",
			`trap 'echo got >>log; exit 0' `+name+`; echo ready >>log; while :; do sleep 0.01; done`)
		p.endsLost()
		p.await("log", "got")
	}
}

func TestLossKillsAfterTheGrace(t *testing.T) {
	t.Parallel()
	option, now := lose(t)
	p := start(t, append(option, "-guard", "-kill-after", "300ms", "--", "sh", "-c",
		`trap "" TERM; echo ready >>log; while :; do sleep 0.01; done`)...)
	p.await("log", "ready")
	begun := time.Now()
	now()
	p.endsLost()
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("killed after %v", took)
	}
}

func TestLossWakesAStoppedCommandForItsGrace(t *testing.T) {
	t.Parallel()
	option, now := lose(t)
	p := start(t, append(option, "-kill-after", "1h", "--", "sh", "-c",
		`trap "echo got >>log; exit" TERM; echo $$ >pid; kill -STOP $$; while :; do sleep 0.01; done`)...)
	pid := p.pid("pid")
	eventually(t, func() bool { return state(pid) == 'T' }, "the command to stop")
	now()
	p.endsLost()
	p.await("log", "got")
}

// TestLossReachesTheWholeTree: each of these processes has left the command in another
// way. All ignore the stop signal.
func TestLossReachesTheWholeTree(t *testing.T) {
	t.Parallel()
	const stubborn = `sh -c 'trap "" TERM HUP; echo $$ >pid; while :; do sleep 1; done'`
	for _, c := range []struct{ name, command string }{
		{"in the group", stubborn + ` &`},
		{"orphaned in the group", `(` + stubborn + ` &)`},
		{"in a session of its own", `setsid ` + stubborn + ` &`},
		{"double-forked daemon", `(setsid ` + stubborn + ` &) &`},
		{"without environment", `env -i ` + stubborn + ` &`},
		{"daemon without environment", `(setsid env -i ` + stubborn + ` &) &`},
		{"stopped daemon without environment", `(setsid env -i sh -c 'echo $$ >pid; kill -STOP $$' &) &`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, leader := range []string{"echo ready >log; sleep 300",
				"echo ready >log; trap exit TERM; while :; do sleep 0.01; done"} {
				option, now := lose(t)
				p := start(t, append(option, "-guard", "-kill-after", "100ms", "--", "sh", "-c",
					c.command+"\n"+leader)...)
				p.await("log", "ready")
				pid := p.pid("pid")
				t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
				now()
				p.endsLost()
				if alive(pid) {
					t.Fatalf("alive: %v", describe([]int{pid}))
				}
			}
		})
	}
}

// TestLossReachesCarriersOfTheID: a process that somebody else started for the command
// gets the stop signal and the grace too. It gets them when the command has ended, or
// after a quarter of the grace of a command that does not heed the signal.
func TestLossReachesCarriersOfTheID(t *testing.T) {
	t.Parallel()
	for name, trap := range map[string]string{"the command ends": "",
		"the command stays": `trap "" TERM; `} {
		t.Run(name, func(t *testing.T) {
			option, now := lose(t)
			p := start(t, append(option, "-guard", "-kill-after", "4s", "--", "sh", "-c",
				trap+`echo "$AMQPRUN_ID" >id; echo ready >log; sleep 300`)...)
			p.await("log", "ready")
			id := strings.TrimSpace(p.read("id"))
			adopted := prepare(t) // no descendant of p
			adopted.Path, adopted.Args = "/bin/sh", []string{"sh", "-c",
				`trap "echo got >>log" TERM; echo ready >log; while :; do sleep 0.01; done`}
			adopted.Env = append(adopted.Env, "AMQPRUN_ID="+id)
			adopted.begin()
			adopted.await("log", "ready")
			other := prepare(t)
			other.Path, other.Args = "/bin/sh", []string{"sh", "-c", "echo ready >log; sleep 300"}
			other.Env = append(other.Env, "AMQPRUN_ID="+id+"0", "X=AMQPRUN_ID="+id,
				"AMQPRUN_IDS=x "+id+"0")
			other.begin()
			other.await("log", "ready")
			now()
			adopted.await("log", "got")
			p.sendUntilEnd(syscall.SIGTERM) // which ends the grace, and does not reach adopted
			p.endsLost()
			if got := adopted.end(); got != 137 {
				t.Errorf("the adopted process ended with %d, want 137", got)
			}
			if got := adopted.read("log"); got != "ready\ngot\n" {
				t.Errorf("the adopted process wrote %q, want one stop signal", got)
			}
			if !alive(other.Process.Pid) {
				t.Error("a process with another AMQPRUN_ID was killed")
			}
		})
	}
}

// forkingChain is for perl: a process that forks, leaves its session and exits every
// 2 ms. With its environment wiped it escapes every reading of /proc.
const forkingChain = `use POSIX; my $n = 5000; while ($n-- > 0) { my $pid = fork; ` +
	`die unless defined $pid; exit if $pid; setsid; open my $f, ">", "link"; print $f "$$\n"; ` +
	`close $f; select undef, undef, undef, 0.002 }`

func TestLossOutrunsAForkingChain(t *testing.T) {
	t.Parallel()
	perl := mustLook(t, "perl")
	for _, grace := range []string{"0s", "50ms"} {
		option, now := lose(t)
		p := start(t, append(option, "-guard", "-status", "status", "-kill-after", grace, "--", "sh",
			"-c",
			fmt.Sprintf(`env -i %s -e '$SIG{TERM}="IGNORE"; %s' & while ! [ -s link ]; do :; done; `+
				`echo ready >log; sleep 300`, perl, forkingChain))...)
		p.await("log", "ready")
		now()
		p.endsLost()
		t.Log(strings.TrimSpace(p.read("status")))
		before := p.read("link")
		passes(20 * time.Millisecond)
		if after := p.read("link"); after != before {
			t.Errorf("the chain goes on: %q, %q", before, after)
		}
	}
}

func TestSecondSignalSkipsTheGrace(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := lost(t, []string{"-guard", "-kill-after", "1h"}, "sh", "-c",
			`trap "echo got >>log" TERM INT; echo ready >>log; while :; do sleep 0.01; done`)
		p.await("log", "got")
		// On a busy machine both may be looked at within 100 ms, however far apart they were
		// sent.
		p.sendUntilEnd(s)
		p.endsLost()
	}
}

// TestEarlierInterruptsDoNotShortenTheGrace: other signals do not shorten it either.
func TestEarlierInterruptsDoNotShortenTheGrace(t *testing.T) {
	t.Parallel()
	option, now := lose(t)
	p := start(t, append(option, "-guard", "-kill-after", "1h", "--", "sh", "-c",
		`trap "echo int >>log" INT; trap "echo usr1 >>log" USR1; trap "echo term >>log" TERM; `+
			`trap "echo end >>log; exit" USR2; echo ready >>log; while :; do sleep 0.01; done`)...)
	p.await("log", "ready")
	for n := 1; n <= 3; n++ {
		p.send(syscall.SIGINT)
		eventually(t, func() bool { return strings.Count(p.read("log"), "int\n") == n }, "interrupt %d",
			n)
		passes(120 * time.Millisecond)
	}
	now()
	p.await("log", "term")
	p.send(syscall.SIGUSR1)
	p.await("log", "usr1")
	p.send(syscall.SIGUSR2)
	p.endsLost()
	p.await("log", "end")
}

// sendUntilEnd sends s again and again, each time as a request of its own.
func (p *process) sendUntilEnd(s syscall.Signal) {
	p.t.Helper()
	for begun := time.Now(); time.Since(begun) < patience; {
		_ = p.Process.Signal(s)
		select {
		case <-p.done:
			return
		case <-time.After(120 * time.Millisecond):
		}
	}
}

func TestGraceEndsWithTheLease(t *testing.T) {
	t.Parallel()
	p := lost(t, []string{"-until", "6s", "-kill-after", "1h"}, "sh", "-c",
		`trap "echo got >>log" TERM; echo ready >>log; while :; do sleep 0.01; done`)
	p.endsLost()
	p.await("log", "got")
}

// TestOldKernel: without pidfds and close_range the whole tree is stopped as well.
func TestOldKernel(t *testing.T) {
	t.Parallel()
	if got := start(t, "-old-kernel", "--", "sh", "-c", "exit 6").end(); got != 6 {
		t.Errorf("exit status %d, want 6", got)
	}
	p := lost(t, []string{"-old-kernel", "-guard", "-kill-after", "1h"}, "sh", "-c",
		stubborn+`stubborn env -i; echo ready >>log; sleep 300`)
	daemon := p.pid("pid")
	p.await("log", "got")
	p.sendUntilEnd(syscall.SIGTERM) // which ends the grace
	p.endsLost()
	if alive(daemon) {
		t.Errorf("alive: %v", describe([]int{daemon}))
	}
}
