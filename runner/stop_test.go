package runner

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// TestGroupIsKilledInTime: whatever else is being done when its time is over.
func TestGroupIsKilledInTime(t *testing.T) {
	for _, canceled := range []bool{false, true} {
		cmd := exec.Command("sleep", "300")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := newRun(&Command{}, nil)
		r.leader.pid = cmd.Process.Pid
		at := sys.Boottime() + 10*time.Millisecond
		if canceled {
			at += time.Hour
		}
		cancel := r.killGroupAt(at)
		if canceled {
			cancel()
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
		_ = cmd.Wait()
		if !canceled {
			cancel()
		}
		want := map[bool]syscall.Signal{false: syscall.SIGKILL, true: syscall.SIGTERM}[canceled]
		if got := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); got != want {
			t.Errorf("canceled %t: died of %v, want %v", canceled, got, want)
		}
	}
}
