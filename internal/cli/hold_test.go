package cli

import (
	"os/exec"
	"testing"

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
