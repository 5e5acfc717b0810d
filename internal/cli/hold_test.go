package cli

import (
	"os/exec"
	"testing"
	"time"

	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
)

// A keeper that has ended without a text holds nothing, whatever its status.
func TestHoldIsNoSuccessWithoutALock(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{
		"exit 0": exit.Failure, "exit 75": exit.NotAcquired, "kill -9 $$": 128 + 9,
	} {
		cmd := exec.Command("sh", "-c", script)
		_ = cmd.Run()
		if got := outcomeOf(cmd.ProcessState); got.Code != want {
			t.Errorf("%s: %+v, want %d", script, got, want)
		}
	}
	if got := outcomeOf(nil); got.Code != exit.Failure {
		t.Errorf("not known: %+v", got)
	}
}

// TestWaitsAreReportedAlike is not parallel: it changes the environment.
func TestWaitsAreReportedAlike(t *testing.T) {
	for ci, want := range map[string]time.Duration{"": console.OnTerminal, "true": 30 * time.Second} {
		t.Setenv("CI", ci)
		for name, declare := range map[string]func(*options) []*option{
			"run": runOptions, "hold": holdOptions,
		} {
			var o options
			declare(&o)
			if o.Progress != want {
				t.Errorf("%s with CI=%q reports a wait every %v, not every %v", name, ci, o.Progress, want)
			}
		}
	}
}
