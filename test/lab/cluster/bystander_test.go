package cluster

import (
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// A node dies, and with it the leader of the quorum queue that proves a majority. Who
// holds a lock at another node shall keep it. Only a leader that dies between the
// pre-check and the check costs the lock. On a busy machine that is some milliseconds in
// each interval; without the pre-check all lose theirs.
func TestBystanders(t *testing.T) {
	const bystanders = 4
	alone(t) // beside other clusters that elect leaders the election outlasts the lease
	t.Cleanup(func() { node(t, "start", "1"); whole(t) })
	together(t, kinds(), func(t *testing.T, k kind, at at) {
		var locks []*rig.Lock
		var holders []*rig.Contender
		for range bystanders {
			lock := k.lock(t)
			// It makes the queue, whose leader is then this node.
			first := lock.Start("first", url(1), "--", "-for", "50ms")
			first.AwaitExit(0)
			bystander := lock.Start("bystander", url(2), "--", "-deaf")
			bystander.AwaitStart()
			locks, holders = append(locks, lock), append(holders, bystander)
		}
		fault := at(func() { signal(t, syscall.SIGKILL) })
		rig.Pass(15*time.Second - (rig.Now() - fault))
		lost := 0
		for i, bystander := range holders {
			switch {
			case !bystander.HasEnded():
				bystander.Signal(syscall.SIGKILL)
			case bystander.Said(`error: lost .*nodedown \(541\)`) > 0:
				lost++
			default:
				t.Error("a holder at a healthy node has lost its lock")
			}
			locks[i].Verdict(0)
		}
		if lost > bystanders/2 {
			t.Errorf("%d of %d holders at a healthy node have lost their locks", lost, bystanders)
		}
	})
}
