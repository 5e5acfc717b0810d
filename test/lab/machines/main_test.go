// Package machines has the holders of a lock in virtual machines, which are suspended and
// have clocks of their own. scripts/lab machines runs it.
package machines

import (
	"os"
	"testing"

	"github.com/amqprun/amqprun/test/lab/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// Without one of its precautions amqprun must be caught.
func TestControls(t *testing.T) {
	for _, c := range []struct{ weakness, test, complaint string }{
		{"has a clock that stops with its machine", "TestSuspended", "the command went on"},
		{"counts --once by its own clock", "TestOnceOfThreeMachines", "runs, statuses"},
	} {
		t.Run(c.weakness, func(t *testing.T) { rig.Control(t, c.weakness, c.test, c.complaint) })
	}
}
