package faults

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// Tokens grow from run to run, whatever happens to the holder and to the history.
func TestTokens(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, slots int) {
		lock, broker := rig.NewLock(t, slots).Fence(), rig.TheBroker(t)
		n := 0
		inTurn := func() {
			const runs = 10
			for range runs {
				n++
				lock.Start(fmt.Sprintf("%s-%d", rig.Holder, n), broker.URL, "--", "-for", "20ms").AwaitExit(0)
			}
		}
		inTurn()
		killed := lock.Start("killed", broker.URL, "--", "-for", "1h")
		killed.AwaitStart()
		killed.Signal(syscall.SIGKILL)
		lock.Start("next", broker.URL, "--wait", "60", "--", "-for", "20ms").AwaitExit(0)
		// A history has to be five seconds old, or its tokens may come again. The clock of the
		// broker is known to the second.
		rig.Pass(6 * time.Second)
		broker.Ctl("delete_queue", lock.Name()+"-L")
		inTurn()
		lock.Verdict(0)
	})
}

// The broker is killed under load, and the history is deleted. Three slots are held at
// once, and the clocks of the contenders are up to two hours apart. It is not parallel:
// beside its load a broker of another test needs half a minute to come back.
func TestTokensUnderLoad(t *testing.T) {
	broker := rig.NewBroker(t)
	(&rig.Tokens{
		Lock: rig.NewLock(t, 3).Fence(),
		URLs: []string{broker.URL},
		Faults: []rig.Fault{{Name: "death", Strike: func(*testing.T, *rand.Rand) int {
			broker.Bounce(syscall.SIGKILL)
			return 1
		}}},
	}).Run()
}
