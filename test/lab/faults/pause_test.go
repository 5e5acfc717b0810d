package faults

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// Contenders with --on-loss pause lose their connections again and again, and their
// broker. No command executes an instruction while another does. None is stopped, because
// they leave each other's locks alone.
func TestPausedCommandsGoOn(t *testing.T) {
	t.Parallel()
	const closes, contenders = 20, 12
	const closeAll = `[rabbit_networking:close_connection(P, "by a test") ||
		P <- rabbit_networking:connections()].`
	for name, slots := range map[string]int{"mutex": 0, "semaphore": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := rig.NewBroker(t)
			l := rig.NewLock(t, slots)
			var all []*rig.Contender
			for i := range contenders {
				all = append(all, l.Start(fmt.Sprint("contender-", i), broker.URL, "--on-loss", "pause",
					"--", "-for", "5s"))
			}
			all[0].AwaitStart()
			// A quorum queue that is created just before the death may never answer again.
			rig.Pass(5 * time.Second)
			for i := range closes {
				broker.Ctl("eval", closeAll)
				if i%7 == 5 {
					broker.Signal([]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[i/7%2])
					broker.Restart()
					rig.Pass(10 * time.Second)
				}
			}
			paused := 0
			for _, c := range all {
				c.AwaitExit(0)
				if c.Said("the command goes on; it was paused for") != 0 {
					paused++
				}
			}
			if paused < 2 {
				t.Errorf("only %d commands were paused", paused)
			}
			l.Verdict(0)
		})
	}
}
