package docs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestColdStandby runs the unit of the page under a systemd of its own. It waits beyond
// its time to start, is active when it has the lock, and comes back after its death.
func TestColdStandby(t *testing.T) {
	s := open(t, false, "report")
	settings := filepath.Join(s.home, "amqprun.env")
	s.write(settings, "AMQPRUN_URL="+s.url+"\n", 0o600)
	s.write(filepath.Join(s.bin, "billing"),
		"#!/bin/sh\nsystemd-notify --ready\nexec sleep 600\n", 0o755)
	unit := blocks(t, howTo+"systemd.md", "A cold standby", "ini")[0]
	const toStart = 10 * time.Second
	unit = strings.ReplaceAll(s.here(unit), "/etc/amqprun.env", settings) +
		fmt.Sprintf("[Service]\nTimeoutStartSec=%s\n", toStart)
	m := s.startSystemd("billing.service", unit)

	first := s.start(s.broker(), "amqprun", "--mutex", "billing", "--", "report")
	s.journalHas("report")
	m.ctl("start", "--no-block", "billing")
	m.becomes("ActiveState=activating", `StatusText=waiting for mutex "billing": next in line`)
	restarts := m.restarts() // on a busy machine it may have taken too long to begin the wait
	<-time.After(toStart + time.Second)
	if m.becomes("ActiveState=activating"); m.restarts() != restarts {
		t.Error("systemd has ended the wait")
	}
	s.letEnd()
	first.ends(0)
	m.becomes("ActiveState=active", `StatusText=holds mutex "billing"`)
	m.ctl("kill", "--signal=KILL", "billing")
	m.becomes("ActiveState=active", fmt.Sprint("NRestarts=", restarts+1))
	m.ctl("stop", "billing")
	m.becomes("ActiveState=inactive", "Result=success")
}

// manager is a user manager of systemd, with a process namespace and cgroup of its own.
type manager struct {
	s          *shop
	namespaces *exec.Cmd
}

// startSystemd ends it with the test. It needs root, for the namespaces. systemd asks for
// /run/systemd/system before it believes that the machine was booted with it.
func (s *shop) startSystemd(name, unit string) *manager {
	s.t.Helper()
	const systemd = "/usr/lib/systemd/systemd"
	if _, err := os.Stat(systemd); err != nil || os.Geteuid() != 0 {
		s.t.Skip("needs systemd, and root")
	}
	runtime := filepath.Join(s.home, "run")
	units := filepath.Join(runtime, "systemd", "user")
	if err := os.MkdirAll(units, 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.write(filepath.Join(units, name), unit, 0o600)
	found := exec.Command("findmnt", "-n", "-f", "-t", "cgroup2", "-o", "TARGET")
	out, err := found.Output()
	if err != nil {
		s.t.Skip("there is no cgroup2")
	}
	group := filepath.Join(strings.TrimSpace(string(out)), fmt.Sprint("amqprun-test-", os.Getpid()))
	unshare := []string{"--cgroup", "--mount", "--propagation", "private", "--pid", "--fork"}
	err = exec.Command("unshare", append(unshare, "true")...).Run()
	if err := errors.Join(err, os.Mkdir(group, 0o755)); err != nil {
		s.t.Skip("a container that allows no namespaces, or no cgroups: ", err)
	}
	s.t.Cleanup(func() { // when all that was in it is dead, children first
		said := ""
		s.poll(func() bool {
			out, err := exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+").
				CombinedOutput()
			said = string(out)
			return err == nil
		}, func() string { return said })
	})
	args := slices.Concat(
		[]string{"-c", `echo $$ >"$1/cgroup.procs" && shift && exec unshare "$@"`, "-", group},
		unshare, []string{"--kill-child", "--", "sh", "-c", `
			mount -t proc proc /proc && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system &&
			mount -t cgroup2 cgroup2 /sys/fs/cgroup && "$@"; exit`,
			"-", systemd, "--user", "--unit=basic.target", "--log-target=console"})
	namespaces := exec.Command("sh", args...)
	namespaces.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+runtime, "HOME="+s.home)
	log, err := os.Create(filepath.Join(s.home, "systemd.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	namespaces.Stdout, namespaces.Stderr = log, log
	if err := namespaces.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = namespaces.Process.Kill()
		_ = namespaces.Wait()
		if said, _ := os.ReadFile(log.Name()); s.t.Failed() {
			s.t.Logf("systemd says:\n%s", said)
		}
	})
	m := &manager{s: s, namespaces: namespaces}
	m.becomes("LoadState=loaded")
	return m
}

// systemctl runs in the namespaces, because systemd asks who talks to it.
func (m *manager) systemctl(args ...string) (string, error) {
	unshare := m.namespaces.Process.Pid
	inside, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", unshare))
	command := exec.Command("nsenter", append([]string{
		"--mount", "--pid", "--target", strings.TrimSpace(string(inside)), "systemctl", "--user",
	}, args...)...)
	command.Env = m.namespaces.Env
	out, err := command.CombinedOutput()
	return string(out), err
}

func (m *manager) ctl(args ...string) {
	m.s.t.Helper()
	if out, err := m.systemctl(args...); err != nil {
		m.s.t.Fatalf("systemctl %q: %v\n%s", args, err, out)
	}
}

func (m *manager) restarts() (n int) {
	m.s.t.Helper()
	shown, err := m.systemctl("show", "billing", "--property=NRestarts")
	if _, bad := fmt.Sscanf(shown, "NRestarts=%d", &n); err != nil || bad != nil {
		m.s.t.Fatalf("%v: %s", err, shown)
	}
	return n
}

// becomes waits until the unit has these properties.
func (m *manager) becomes(properties ...string) {
	m.s.t.Helper()
	shown := ""
	m.s.poll(func() bool {
		<-time.After(100 * time.Millisecond) // each question costs much
		shown, _ = m.systemctl("show", "billing", "--property=ActiveState,LoadState,NRestarts,Result,"+
			"StatusText")
		for _, p := range properties {
			if !strings.Contains("\n"+shown, "\n"+p+"\n") {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("%s\nwant %q", shown, properties) })
}
