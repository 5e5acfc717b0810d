package runner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSweepWaitsForProcessesInTheMiddleOfExec: one of these may carry AMQPRUN_ID, and
// nobody can see that yet. The parent that carried it may have been killed just before.
// No process stays in that state for a test, so /proc is a folder here.
func TestSweepWaitsForProcessesInTheMiddleOfExec(t *testing.T) {
	dir, before := t.TempDir(), procDir
	procDir = func() string { return dir }
	t.Cleanup(func() { procDir = before })
	const pid = 1 << 30 // there is none, to be signalled
	process := filepath.Join(dir, fmt.Sprint(pid))
	if err := os.Mkdir(process, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(process, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	execute := func(startCode int, environ string) {
		write("stat", fmt.Sprintf("%d (sh) R 1 %[1]d %[1]d"+strings.Repeat(" 0", 12)+
			" 0 1 0 99 0 0 0 %d 0", pid, startCode))
		write("environ", environ)
	}
	r := &sweeper{family: &family{}}
	r.c, r.leader.collected = &Command{ID: t.Name()}, true
	execute(0, "")
	if !r.killMembers() {
		t.Error("a process in the middle of its execution is taken for unrelated")
	}
	execute(1, "AMQPRUN_ID="+t.Name()+"\x00")
	if !r.killMembers() {
		t.Error("a carrier of AMQPRUN_ID is taken for unrelated")
	}
	execute(1, "AMQPRUN_ID=other\x00")
	if r.killMembers() {
		t.Error("an unrelated process is taken for a member")
	}
}

// TestGuardInTheMiddleOfExec: nothing shows yet that it is one. That does not last for a
// test, so another program stands for it, which never looks like a guard.
func TestGuardInTheMiddleOfExec(t *testing.T) {
	cmd := exec.Command("sleep", "300")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	pid := cmd.Process.Pid
	r := &sweeper{family: &family{}}
	r.c = &Command{Guard: &Guard{process: &guardLink{pid: pid}}}
	same := func(p proc) bool { return p.pid == pid }
	if slices.ContainsFunc(r.tree().descendants(), same) {
		t.Error("it gets the stop signal")
	}
	if slices.ContainsFunc(r.tree().members(), func(m member) bool { return same(m.proc) }) {
		t.Error("it is a member of the tree")
	}
	if left, _ := r.killChildren(make(map[int]bool)); left > 0 {
		t.Error("it was killed")
	}
}
