package wrapper

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pausable is a lock that a test takes away and gives back.
type pausable struct {
	t       *testing.T
	options []string // of the wrapper
	pause   func()   // the lock is lost
	fifo    string   // see regain of package wrap
}

func newPausable(t *testing.T) *pausable {
	t.Helper()
	options, pause := lose(t)
	fifo := filepath.Join(t.TempDir(), "regain")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	return &pausable{t, append(options, "-guard", "-regain", fifo), pause, fifo}
}

func (l *pausable) start(options []string, command ...string) *process {
	l.t.Helper()
	return start(l.t, append(append(append(l.options, options...), "--"), command...)...)
}

// regain gives the lock back.
func (l *pausable) regain() {
	l.t.Helper()
	release(l.t, l.fifo)
}

// touch makes a file whose existence says something.
func touch(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitPaused waits until nothing runs any more and the wrapper wants the lock again, for
// the n-th time. On a busy machine regain may have let a wrapper through more than once.
func (p *process) awaitPaused(n int) {
	p.t.Helper()
	eventually(p.t, func() bool { return strings.Count(p.stderr.String(), "wrap: paused\n") >= n },
		"pause %d", n)
}

// isStopped reports whether all processes of the command have stopped.
func (p *process) isStopped() bool {
	stopped := func(pid string) bool { return state(atoi(pid)) == 'T' }
	return !slices.ContainsFunc(p.marked(), func(pid int) bool {
		switch state(pid) {
		case 'T':
			return false
		case 'D': // it writes, and stops when the disk has it; or waits for a child's exec
			return !slices.ContainsFunc(childrenOf(pid), stopped)
		default:
			return true
		}
	})
}

// rests fails if a file grows while nothing runs that writes to it.
func (p *process) rests(names ...string) {
	p.t.Helper()
	eventually(p.t, p.isStopped, "all to stop")
	before := make(map[string]string)
	for _, name := range names {
		before[name] = p.read(name)
	}
	passes(50 * time.Millisecond)
	for _, name := range names {
		if p.read(name) != before[name] {
			p.t.Errorf("%s went on while it was paused", name)
		}
	}
}

// goesOn waits until each file has grown.
func (p *process) goesOn(names ...string) {
	p.t.Helper()
	for _, name := range names {
		before := p.read(name)
		eventually(p.t, func() bool { return p.read(name) != before }, "%s to go on", name)
	}
}

// looping is a shell loop that writes to a file all the time, until the test ends it.
func looping(file string) string {
	return `while ! [ -e release ]; do echo run >>` + file + `; sleep 0.005; done`
}

// TestPauseStopsTheWholeTree: wherever a process has gone, it executes nothing until the
// lock is held again.
func TestPauseStopsTheWholeTree(t *testing.T) {
	t.Parallel()
	names := []string{"leader", "group", "session", "wiped", "daemon"}
	l := newPausable(t)
	p := l.start([]string{"-status", "status"}, "sh", "-c", fmt.Sprintf(`sh -c '%s' & `+
		`setsid sh -c '%s' & setsid env -i sh -c '%s' & (setsid sh -c '%s' &); %s; wait; exit 7`,
		looping("group"), looping("session"), looping("wiped"), looping("daemon"), looping("leader")))
	for round := 1; round <= 2; round++ {
		p.goesOn(names...)
		l.pause()
		p.awaitPaused(round)
		p.rests(names...)
		l.regain()
	}
	p.goesOn(names...)
	touch(t, p.path("release"))
	if got := p.end(); got != 7 {
		t.Errorf("exit status %d, want 7", got)
	}
	if got := p.read("status"); !strings.Contains(got, "stopped=false") ||
		!strings.Contains(got, "paused=true") {
		t.Error(got)
	}
	if n := strings.Count(p.stderr.String(), "the command goes on; it was paused for"); n != 2 {
		t.Errorf("%d warnings", n)
	}
}

// TestPauseWaitsForAProcessThatStopsLate: it has SIGSTOP, and no processor to act on
// it. A frozen control group holds it up here, which shows it as asleep.
func TestPauseWaitsForAProcessThatStopsLate(t *testing.T) {
	t.Parallel()
	group := freezingGroup(t)
	freeze := func(state string) {
		if err := os.WriteFile(filepath.Join(group, "cgroup.freeze"), []byte(state), 0); err != nil {
			t.Fatal(err)
		}
	}
	l := newPausable(t)
	p := l.start([]string{"-kill-after", "1h"}, "sh", "-c",
		`sh -c 'echo $$ >'`+group+`'/cgroup.procs; `+looping("late")+`' & `+looping("log"))
	p.goesOn("late", "log")
	freeze("1")
	l.pause()
	passes(2 * time.Second) // the time that a process has which is not ours to stop, and more
	freeze("0")
	p.awaitPaused(1)
	p.rests("late", "log")
	l.regain()
	p.goesOn("late", "log")
}

func TestPauseOutrunsAForkingChain(t *testing.T) {
	t.Parallel()
	perl := mustLook(t, "perl")
	l := newPausable(t)
	p := l.start([]string{"-orphans", "2"}, "sh", "-c",
		fmt.Sprintf(`env -i %s -e '%s' & %s; exit 7`, perl, forkingChain, looping("log")))
	p.goesOn("link")
	l.pause()
	p.awaitPaused(1)
	p.rests("link")
	l.regain()
	p.goesOn("link")
	touch(t, p.path("release"))
	if got := p.end(); got != 7 {
		t.Errorf("exit status %d, want 7", got)
	}
}

// TestPauseSparesWhatOthersHaveStopped: in the group, and outside of it.
func TestPauseSparesWhatOthersHaveStopped(t *testing.T) {
	t.Parallel()
	l := newPausable(t)
	p := l.start(nil, "sh", "-c", `sh -c 'echo $$ >in; kill -STOP $$' & `+
		`setsid sh -c 'echo $$ >out; kill -STOP $$' & `+looping("log"))
	in, out := p.pid("in"), p.pid("out")
	for _, pid := range []int{in, out} {
		eventually(t, func() bool { return state(pid) == 'T' }, "%d to stop", pid)
	}
	p.goesOn("log")
	l.pause()
	p.awaitPaused(1)
	l.regain()
	p.goesOn("log")
	for _, pid := range []int{in, out} {
		if state(pid) != 'T' {
			t.Errorf("%v was continued", describe([]int{pid}))
		}
	}
}

// TestPauseStopsWhatSomebodyContinues while the command is paused.
func TestPauseStopsWhatSomebodyContinues(t *testing.T) {
	t.Parallel()
	l := newPausable(t)
	p := l.start(nil, "sh", "-c", `echo $$ >pid; `+looping("log"))
	leader := p.pid("pid")
	p.goesOn("log")
	l.pause()
	p.awaitPaused(1)
	p.send(syscall.SIGCONT) // is not passed on
	p.rests("log")
	before := p.read("log")
	eventually(t, func() bool { // amqprun may look just after it
		if err := syscall.Kill(-leader, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		return p.read("log") != before
	}, "the command to be continued")
	eventually(t, p.isStopped, "all to stop")
	l.regain()
	p.goesOn("log")
}

// TestPauseThatFailsKills: the command may not even act on a stop signal.
func TestPauseThatFailsKills(t *testing.T) {
	t.Parallel()
	l := newPausable(t)
	touch(t, l.fifo+".never")
	p := l.start([]string{"-kill-after", "1h"}, "sh", "-c", `trap "echo term >>log" TERM; `+
		`setsid sh -c 'trap "echo term >>log" TERM; `+looping("other")+`' & `+looping("log"))
	p.goesOn("log", "other")
	l.pause()
	p.awaitPaused(1)
	before := p.read("log") + p.read("other")
	l.regain()
	p.endsLost()
	if after := p.read("log") + p.read("other"); after != before {
		t.Errorf("the command went on: %q", strings.TrimPrefix(after, before))
	}
}

// TestPauseThatFailsKillsBehindTerminals: when script(1) dies its terminal hangs up, and
// the kernel continues the session behind it. The end of a shell continues its jobs.
func TestPauseThatFailsKillsBehindTerminals(t *testing.T) {
	t.Parallel()
	mustLook(t, "script")
	mustLook(t, "bash")
	for range 5 {
		l := newPausable(t)
		touch(t, l.fifo+".never")
		p := prepare(t, append(l.options, "-kill-after", "1h", "--", "script", "-qc",
			`bash -c "trap 'echo exit >>log' EXIT; set -m; (trap 'echo hup >>log' HUP; `+
				`kill -STOP \$BASHPID; echo cont >>log) & echo \$! >stopped; `+
				`while :; do echo run >>log; done"`, "/dev/null")...)
		p.begin()
		stopped := p.pid("stopped")
		eventually(t, func() bool { return state(stopped) == 'T' }, "the job to stop")
		p.goesOn("log")
		l.pause()
		p.awaitPaused(1)
		before := p.read("log")
		l.regain()
		p.endsLost()
		if after := p.read("log"); after != before {
			t.Errorf("the command went on: %q", strings.TrimPrefix(after, before))
		}
	}
}

// TestPauseAgainBeforeTheCommandGoesOn: the lock is lost again in the instant in which it
// is regained.
func TestPauseAgainBeforeTheCommandGoesOn(t *testing.T) {
	t.Parallel()
	l := newPausable(t)
	touch(t, l.fifo+".again")
	p := l.start(nil, "sh", "-c", looping("log")+`; exit 7`)
	p.goesOn("log")
	l.pause()
	for round := 1; round <= 3; round++ {
		p.awaitPaused(round)
		p.rests("log")
		if round == 3 {
			_ = os.Remove(l.fifo + ".again")
		}
		l.regain()
	}
	p.goesOn("log")
	touch(t, p.path("release"))
	if got := p.end(); got != 7 {
		t.Errorf("exit status %d, want 7", got)
	}
}

// TestSignalsWhilePaused: INT, QUIT and TERM kill the command. Others wait for it.
func TestSignalsWhilePaused(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
		l := newPausable(t)
		p := l.start([]string{"-kill-after", "1h"}, "sh", "-c",
			`trap "echo got >>log" INT TERM QUIT; `+looping("log"))
		p.goesOn("log")
		l.pause()
		p.awaitPaused(1)
		before := p.read("log")
		p.send(s)
		if got := p.end(); got != 128+int(s) {
			t.Errorf("%v: exit status %d", s, got)
		}
		p.noneLeft()
		if p.read("log") != before {
			t.Errorf("%v: the command went on", s)
		}
	}
	l := newPausable(t)
	p := l.start(nil, "sh", "-c", `trap "echo usr1 >>log" USR1; trap "echo hup >>log" HUP; `+
		looping("log"))
	p.goesOn("log")
	l.pause()
	p.awaitPaused(1)
	p.send(syscall.SIGUSR1)
	p.send(syscall.SIGHUP)
	p.rests("log")
	l.regain()
	p.await("log", "usr1")
	p.await("log", "hup")
}

// TestPauseOfOrphans: amqprun waits for what the command has left behind.
func TestPauseOfOrphans(t *testing.T) {
	t.Parallel()
	l := newPausable(t)
	p := l.start([]string{"-orphans", "1"}, "sh", "-c", `echo $$ >leader; setsid sh -c '`+
		looping("log")+`' & until [ -s log ]; do sleep 0.01; done; exit 7`)
	leader := p.pid("leader")
	eventually(t, func() bool { return !alive(leader) }, "the leader to end")
	l.pause()
	p.awaitPaused(1)
	p.rests("log")
	l.regain()
	p.goesOn("log")
	touch(t, p.path("release"))
	if got := p.end(); got != 7 {
		t.Errorf("exit status %d, want 7", got)
	}
}
