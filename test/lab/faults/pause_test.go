package faults

import (
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// Contenders with --on-loss pause lose their connections again and again, and their
// broker. No command executes an instruction while another does, and none is stopped.
func TestPausedCommandsGoOn(t *testing.T) {
	t.Parallel()
	broker := rig.NewBroker(t)
	again := func(s syscall.Signal) func(*testing.T, *rand.Rand) int {
		return func(*testing.T, *rand.Rand) int {
			broker.Bounce(s)
			return 1
		}
	}
	rig.Trial{
		URLs: []string{broker.URL},
		Faults: []rig.Fault{
			{Name: "restart", Strike: again(syscall.SIGTERM)},
			{Name: "death", Strike: again(syscall.SIGKILL)},
			{Name: "forced close", Strike: func(*testing.T, *rand.Rand) int {
				broker.Eval(rig.CloseAll)
				return rig.Closes
			}},
		},
	}.Run(t)
}
