package faults

import (
	"testing"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// Without one of its precautions amqprun must be caught.
func TestControls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ weakness, test, complaint string }{
		{"trusts a publish", "TestQueueDeleted/mutex", "commands overlapped for"},
		{"has no lease", "TestSilence/black_hole_both_ways/mutex", "commands overlapped for"},
		{"has a guard that knows no lease", "TestStopped/mutex", "commands overlapped for"},
		{"takes its tokens from its clock", "TestTokens/mutex", "not those of a fenced lock"},
		{"believes its own clock", "TestTokensUnderLoad", "not those of a fenced lock"},
		{"counts --once by its own clock", "TestOnceOfThreeHosts", "runs, statuses"},
		{"publishes on the lock connection", "TestAlarms", "did not keep the lock"},
	} {
		t.Run(c.weakness, func(t *testing.T) {
			t.Parallel()
			rig.Control(t, c.weakness, c.test, c.complaint)
		})
	}
}
