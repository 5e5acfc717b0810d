package cluster

import (
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// A node dies, and with it the leader of the quorum queue that proves a majority. Who
// holds a lock at another node shall keep it.
func TestBystanders(t *testing.T) {
	begin(t)
	t.Cleanup(func() { node(t, "start", "1"); whole(t) })
	together(t, kinds(), func(t *testing.T, k kind, at at) {
		lock := k.lock(t)
		// It makes the queue, whose leader is then this node.
		first := lock.Start("first", url(1), "--", "-for", "50ms")
		first.AwaitExit(0)
		bystander := lock.Start("bystander", url(2), "--", "-deaf")
		bystander.AwaitStart()
		fault := at(func() { signal(t, syscall.SIGKILL) })
		rig.Pass(15*time.Second - (rig.Now() - fault))
		if bystander.HasEnded() {
			t.Error("a holder at a healthy node has lost its lock")
		} else {
			bystander.Signal(syscall.SIGKILL)
		}
		lock.Verdict(0)
	})
}
