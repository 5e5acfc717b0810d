package wrapper

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/program"
	"github.com/amqprun/amqprun/test/wrapper/wrap"
)

// unkillable starts a wrapper that runs as nobody, and whose command, by a set-uid copy
// of perl, is root's. A child of it is not.
func unkillable(t *testing.T, options ...string) (p *process, command int) {
	t.Helper()
	p = prepareUnkillable(t, options...)
	p.begin()
	command = p.pid("pid")
	t.Cleanup(func() { _ = syscall.Kill(command, syscall.SIGKILL) })
	return p, command
}

func prepareUnkillable(t *testing.T, options ...string) *process {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to have a process that the wrapper may not kill")
	}
	p := prepare(t, append(options, "--", "./root", "-e",
		`unless (fork) { $> = $<; open my $f, ">", "child"; print $f "$$\n"; close $f; sleep 300 }
		$<=$>=0; open my $f, ">", "pid"; print $f "$$\n"; close $f; sleep 300`)...)
	perl, err := os.ReadFile(mustLook(t, "perl"))
	if err != nil {
		t.Fatal(err)
	}
	program.WriteExecutable(t, p.path("root"), perl)
	if err := os.Chmod(p.path("root"), 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	p.as(nobody)
	return p
}

const nobody = 65534

func TestUnkillableIsReported(t *testing.T) {
	t.Parallel()
	unkillableIsReported(t, "-until", "600ms")
}

// TestUnkillableWithoutALease: --on-loss keep has none.
func TestUnkillableWithoutALease(t *testing.T) {
	t.Parallel()
	unkillableIsReported(t)
}

func unkillableIsReported(t *testing.T, options ...string) {
	t.Helper()
	option, now := lose(t)
	accessible(t, option[1])
	options = append(options, "-kill-after", "100ms", "-status", "status")
	p, _ := unkillable(t, append(option, options...)...)
	now()
	if got := p.end(); got != wrap.ExitLost {
		t.Errorf("exit status %d, want %d", got, wrap.ExitLost)
	}
	if got := p.read("status"); !strings.Contains(got, "stopped=true unfinished=true") {
		t.Errorf("status %q", got)
	}
	if !strings.Contains(p.stderr.String(), "do not die of SIGKILL") {
		t.Error("no warning")
	}
}

// TestUnkillableKeepsTheLock: a second SIGTERM means kill it, and not let go of the lock
// while it lives.
func TestUnkillableKeepsTheLock(t *testing.T) {
	t.Parallel()
	p, command := unkillable(t, "-lease", "5s", "-renew", "50ms", "-kill-after", "100ms")
	eventually(t, func() bool {
		p.send(syscall.SIGTERM)
		passes(120 * time.Millisecond) // two that a busy machine delivers together are one
		return strings.Contains(p.stderr.String(), "does not die of SIGKILL")
	}, "the warning")
	select {
	case <-p.done:
		t.Fatal("the wrapper has ended before its command")
	default:
	}
	if err := syscall.Kill(command, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := p.end(); got != 137 {
		t.Errorf("exit status %d, want 137", got)
	}
}

// as makes p another user's, who has a copy of its program.
func (p *process) as(uid uint32) {
	p.t.Helper()
	self, err := os.ReadFile(p.Path)
	if err != nil {
		p.t.Fatal(err)
	}
	program.WriteExecutable(p.t, p.path("wrapper"), self)
	p.Path = p.path("wrapper")
	accessible(p.t, p.dir)
	p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
}

// accessible lets everybody use dir.
func accessible(t *testing.T, dir string) {
	t.Helper()
	for ; strings.Contains(dir, t.Name()); dir = dir[:strings.LastIndexByte(dir, '/')] {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
}
