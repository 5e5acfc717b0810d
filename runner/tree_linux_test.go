package runner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// TestProcessesWithAwkwardNames: the name in /proc/PID/stat is whatever the process
// likes.
func TestProcessesWithAwkwardNames(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "a) Z 1 (b")
	if err := os.Symlink(sleep, program); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "300")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	p, ok := readProc(cmd.Process.Pid)
	self, _ := readProc(os.Getpid())
	if !ok || p.ppid != os.Getpid() || p.pgrp != self.pgrp || p.session != self.session ||
		p.state == 'Z' || p.start < self.start {
		t.Errorf("%+v, %t; ours is %+v", p, ok, self)
	}
}

// TestTreeIsClosedUnderChildren: membership is inherited, whatever a process does to its
// environment and group.
func TestTreeIsClosedUnderChildren(t *testing.T) {
	parents := map[int]int{10: 1, 11: 10, 12: 11, 20: 1, 21: 20, 30: 31, 31: 30}
	for _, c := range []struct {
		t      tree
		member map[int]bool
		pid    int
		want   bool
	}{
		{tree{root: 10}, nil, 12, true},
		{tree{root: 10}, nil, 21, false},
		{tree{}, map[int]bool{11: true}, 12, true},
		{tree{}, map[int]bool{11: true}, 10, false},
		{tree{}, map[int]bool{21: true}, 21, true},
		{tree{}, nil, 12, false},
		{tree{root: 10}, nil, 30, false}, // a circle, from a pid that was used again
		{tree{root: 1}, nil, 12, true},   // a container
		{tree{}, nil, 1, false},
	} {
		if got, _ := c.t.belongs(c.pid, parents, c.member, nil); got != c.want {
			t.Errorf("%+v, members %v: %d belongs: %t", c.t, c.member, c.pid, got)
		}
	}
}

// TestDescendants: by either way, whatever group and environment say, without who is
// older than the command.
func TestDescendants(t *testing.T) {
	run := func(name string, args ...string) (proc, *os.File) {
		cmd := exec.Command(name, args...)
		cmd.Env, cmd.SysProcAttr = []string{}, &syscall.SysProcAttr{Setsid: true}
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		cmd.Stdout = in
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
			_ = out.Close()
		})
		p, _ := readProc(cmd.Process.Pid)
		return p, out
	}
	older, _ := run("sleep", "300")
	var command proc
	var out *os.File
	for command.start <= older.start { // the clock of that has ticks
		command, out = run("/bin/sh", "-c", "sleep 300 & echo $!; wait")
	}
	var child int
	if _, err := fmt.Fscanln(out, &child); err != nil {
		t.Fatal(err)
	}
	here := tree{root: os.Getpid(), born: command.start}
	for name, look := range map[string]func() []proc{"lists": here.descendants,
		"parents": here.descendantsByParent} {
		var pids []int
		for _, p := range look() {
			pids = append(pids, p.pid)
		}
		if !slices.Contains(pids, command.pid) || !slices.Contains(pids, child) ||
			slices.Contains(pids, older.pid) {
			t.Errorf("by %s: %v, want %d and %d without %d", name, pids, command.pid, child, older.pid)
		}
	}
}

// TestOrphaned: who has lost a parent that nobody has seen may descend from the command.
func TestOrphaned(t *testing.T) {
	parent := os.Getppid()
	for _, c := range []struct {
		name    string
		ppid    int
		parents map[int]int
		t       tree
		want    bool
	}{
		{"the parent was seen", parent, map[int]int{parent: 1}, tree{}, false},
		{"unrelated", parent, nil, tree{unrelated: map[int]bool{parent: true}}, false},
		{"init", 1, nil, tree{}, false},
		{"from outside", 0, nil, tree{}, false},
		{"alive and hidden", parent, nil, tree{}, false},
		{"it has another one now", parent + 1, nil, tree{}, true},
	} {
		if got := c.t.orphaned(proc{pid: os.Getpid(), ppid: c.ppid}, c.parents); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// TestUnrelatedProcessesAreNotLookedAtAgain: and who belongs never becomes one.
func TestUnrelatedProcessesAreNotLookedAtAgain(t *testing.T) {
	id := t.Name() + strconv.Itoa(os.Getpid())
	lookedFor := tree{id: id, unrelated: make(map[int]bool)}
	// a look is in vain while anybody is being executed
	for deadline := time.Now().Add(10 * time.Second); !lookedFor.unrelated[os.Getppid()]; {
		if found := lookedFor.members(); len(found) > 0 || time.Now().After(deadline) {
			t.Fatalf("found %+v; %d unrelated, our parent is none", found, len(lookedFor.unrelated))
		}
	}
	cmd := exec.Command("sleep", "300")
	cmd.Env = []string{"AMQPRUN_ID=" + id}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for yes, deadline := false, time.Now().Add(10*time.Second); !yes && time.Now().Before(deadline); {
		// Start returns a little before the environment is there
		yes, _ = carries(proc{pid: cmd.Process.Pid}, id)
	}
	for range 2 {
		if found := lookedFor.members(); len(found) != 1 || found[0].pid != cmd.Process.Pid {
			t.Errorf("found %+v, want process %d", found, cmd.Process.Pid)
		}
	}
	lookedFor.unrelated[cmd.Process.Pid] = true
	if found := lookedFor.members(); len(found) > 0 {
		t.Errorf("an unrelated process was looked at: %+v", found)
	}
}

// TestLongFilesOfProcesses: an environment that does not fit into the first read.
func TestLongFilesOfProcesses(t *testing.T) {
	for _, size := range []int{1, 1000, 1023, 1024, 1025, 5000, 100000} {
		cmd := exec.Command("sleep", "300")
		cmd.Env = []string{"FILL=" + strings.Repeat("x", size), "AMQPRUN_ID=last"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		yes, sure := carries(proc{pid: cmd.Process.Pid}, "last")
		for deadline := time.Now().Add(10 * time.Second); !sure && time.Now().Before(deadline); {
			// Start returns a little before the environment is there
			yes, sure = carries(proc{pid: cmd.Process.Pid}, "last")
		}
		if !yes {
			t.Errorf("%d bytes before it: %t, %t", size, yes, sure)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// TestProcessesInTheMiddleOfExec: the environment has to be there, or the answer unsure,
// from the fork on. Start returns in the middle of the execution, when its end of a pipe
// is closed.
func TestProcessesInTheMiddleOfExec(t *testing.T) {
	unsure := 0
	// A busy machine shows few such processes, or none.
	enough := func(took time.Duration) bool {
		return unsure >= 5 || unsure > 0 && took > 2*time.Second || took > 10*time.Second
	}
	for begun := time.Now(); !enough(time.Since(begun)); {
		cmd := exec.Command("sleep", "300")
		// the more there is, the longer it takes
		cmd.Env = []string{"AMQPRUN_ID=here", "FILL=" + strings.Repeat("x", 100000)}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		yes, sure := carries(proc{pid: cmd.Process.Pid}, "here")
		for ; !sure; yes, sure = carries(proc{pid: cmd.Process.Pid}, "here") {
			unsure++
			if found, more := (tree{id: "here"}).look(); len(found) == 0 && !more {
				if yes, _ := carries(proc{pid: cmd.Process.Pid}, "here"); !yes { // else it was there before
					t.Error("nothing is found, and nothing is left open")
				}
			}
		}
		if !yes {
			t.Error("a process that carries the variable is taken for one that does not")
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if unsure == 0 {
		t.Skip("the machine is too busy to meet a process in the middle of its execution")
	}
}

// TestProcessWithoutEnvironment: it is no member, for sure, or whoever waits for the
// members to die would wait for it.
func TestProcessWithoutEnvironment(t *testing.T) {
	cmd := exec.Command("sleep", "300")
	cmd.Env = []string{}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	yes, sure := carries(proc{pid: cmd.Process.Pid}, "here")
	for deadline := time.Now().Add(10 * time.Second); !sure && time.Now().Before(deadline); {
		yes, sure = carries(proc{pid: cmd.Process.Pid}, "here")
	}
	if yes || !sure {
		t.Errorf("%t, %t", yes, sure)
	}
}

// TestGuardSparesAReusedGroup: its number belongs to a process that was started at
// another time.
func TestGuardSparesAReusedGroup(t *testing.T) {
	self, _ := readProc(os.Getpid())
	g := guardProcess{watch: watch{abandoned: true,
		orders: orders{Group: int32(self.pid), Born: self.start}}}
	if got := g.tree().pgid; got != self.pid {
		t.Errorf("group %d, want %d", got, self.pid)
	}
	g.watch.Born = 1
	if got := g.tree().pgid; got != 0 {
		t.Errorf("group %d, want none", got)
	}
}

// A first thread that has ended leaves a zombie's letter, and no environment, in /proc
// for a process that goes on. The guard remembers unrelated processes for a while only,
// since their pids may be used again.
func TestGuardRemembersUnrelatedProcesses(t *testing.T) {
	const mark = -1
	g := guardProcess{id: t.Name(), watch: watch{abandoned: true}}
	began := sys.Boottime()
	g.allDead()
	if len(g.unrelated.pids) == 0 || g.unrelated.forget < began+memorySpan {
		t.Fatalf("it remembers %d for %s", len(g.unrelated.pids), g.unrelated.forget-began)
	}
	g.unrelated.pids[mark], g.unrelated.forget = true, sys.Boottime()+time.Hour
	if g.allDead(); !g.unrelated.pids[mark] {
		t.Error("forgotten at once")
	}
	g.unrelated.forget = sys.Boottime() - 1
	if g.allDead(); g.unrelated.pids[mark] {
		t.Error("still remembered when its time was over")
	}
}

func TestProcessWithoutItsFirstThread(t *testing.T) {
	cmd := exec.Command(os.Args[0], "headless")
	cmd.Env = []string{"AMQPRUN_ID=headless"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var p proc
	for deadline := time.Now().Add(10 * time.Second); p.state != 'Z'; p,
		_ = readProc(cmd.Process.Pid) {
		if time.Now().After(deadline) {
			t.Fatal("the first thread does not end")
		}
	}
	look := func() (found []member, more bool) { // others may be in the middle of execve(2)
		for deadline := time.Now().Add(10 * time.Second); ; {
			if found, more = (tree{id: "headless", patient: true}).look(); !more ||
				time.Now().After(deadline) {
				return found, more
			}
		}
	}
	found, more := look()
	if len(found) != 1 || found[0].pid != cmd.Process.Pid || more {
		t.Errorf("found %v, %t, want process %d", found, more, cmd.Process.Pid)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if found, more := look(); len(found) > 0 || more {
		t.Errorf("found %v, %t when it was dead", found, more)
	}
}

func init() {
	if len(os.Args) == 2 && os.Args[1] == "headless" {
		go func() {
			<-time.After(time.Minute)
			os.Exit(1)
		}()
		runtime.LockOSThread() // an init function runs on the first thread
		_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
	}
}

func TestDead(t *testing.T) {
	for _, test := range []struct {
		name string
		proc
		want bool
	}{
		{"it runs", proc{state: 'R', threads: 1}, false},
		{"it has begun to end: nothing is executed any more, whatever the letter",
			proc{state: 'R', threads: 1, exiting: true}, true},
		{"a zombie", proc{state: 'Z', threads: 1, exiting: true}, true},
		{"being collected", proc{state: 'X', exiting: true}, true},
		{"one of its threads lives", proc{state: 'Z', threads: 2, exiting: true}, false},
	} {
		if got := test.dead(); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}
