package wrapper

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// controlGroup is the folder of a new one, of version 1 or 2, in which so many processes
// and threads may live.
func controlGroup(t *testing.T, limit int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to make a control group")
	}
	var err error
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/pids"} {
		var group string
		group, err = os.MkdirTemp(root, "amqprun-test-") //nolint:usetesting // no usual folder
		if err != nil {
			continue
		}
		t.Cleanup(func() { removeGroup(t, group) })
		maximum := filepath.Join(group, "pids.max")
		if _, err = os.Stat(maximum); err != nil { // version 1 has a folder for each limit
			continue
		}
		if err = os.WriteFile(maximum, fmt.Append(nil, limit), 0); err == nil {
			return group
		}
	}
	t.Skipf("there can be no control group that limits processes: %v", err)
	return ""
}

// freezingGroup is the folder of a new one of version 2. That of version 1 shows its
// frozen processes as stopped.
func freezingGroup(t *testing.T) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		group, err := os.MkdirTemp(root, "amqprun-test-") //nolint:usetesting // no usual folder
		if err != nil {
			continue
		}
		t.Cleanup(func() { removeGroup(t, group) })
		if _, err = os.Stat(filepath.Join(group, "cgroup.freeze")); err == nil {
			return group
		}
	}
	t.Skip("there can be no control group that freezes")
	return ""
}

func removeGroup(t *testing.T, group string) {
	eventually(t, func() bool {
		members, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		for _, pid := range strings.Fields(string(members)) {
			_ = syscall.Kill(atoi(pid), syscall.SIGKILL)
		}
		return os.Remove(group) == nil
	}, "the end of the control group")
}

// enters makes a process begin in the group.
func (p *process) enters(group string) {
	enter := `echo $$ >"$0/cgroup.procs" && exec "$@"`
	p.Args = append([]string{"bash", "-c", enter, group, p.Path}, p.Args[1:]...)
	p.Path = mustLook(p.t, "bash")
}

// TestEvictionAtTheLimitOfAControlGroup: a container has such a limit, for root too.
func TestEvictionAtTheLimitOfAControlGroup(t *testing.T) {
	t.Parallel()
	group := controlGroup(t, 60)
	name, change := withSlot(t)
	p := amqprun(t, "", "--kill-after", "200ms", "--check-interval", "200ms", "--semaphore", name)
	p.hogsAll()
	p.enters(group)
	p.let()
	p.begin()
	p.await("log", "full")
	change("--to", "0")
	p.endsLost()
}

// TestKillAtTheLimitOfAControlGroup: the guard can make no thread then, and stops the
// tree.
func TestKillAtTheLimitOfAControlGroup(t *testing.T) {
	t.Parallel()
	group := controlGroup(t, 60)
	c := listen(t)
	p := prepare(t, "-guard", "-kill-after", "200ms", "-keep", c.address)
	p.hogsAll()
	p.enters(group)
	p.fillsGuarded()
	p.send(syscall.SIGKILL)
	c.awaitClosed(t, p.marked()...)
	p.end()
	p.noneLeft()
}
