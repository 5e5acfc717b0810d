package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// Faults by operators: connections closed, queues deleted, policies set.

func TestForcedClose(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, slots int) {
		d := newDuel(t, rig.TheBroker(t), slots)
		ports := d.proxy.PortsToBroker()
		if n := d.broker.CloseConnections(func(port string) bool { return ports[port] }); n == 0 {
			t.Fatal("no connection was closed")
		}
		d.holder.AwaitExit(exitLost)
		d.rival.AwaitExit(0)
		rig.Figure(t, "stop signal after the next command could start",
			d.Run(rig.Holder).Signal-d.Run("rival").Start)
		d.Verdict(rig.Grace + rig.Slack)
		if d.holder.Said("CONNECTION_FORCED") == 0 {
			t.Error("the holder did not say that the broker closed the connection")
		}
	})
}

// A queue that is deleted and taken by another is lost also when publishes to it are
// still confirmed.
func TestQueueDeleted(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, slots int) {
		d := newDuel(t, rig.TheBroker(t), slots)
		rig.Pass(2200 * time.Millisecond) // behind the frequent checks of the beginning
		d.broker.Ctl("delete_queue", d.HeldQueue())
		const interval = 500 * time.Millisecond
		// Deleted at some time before rabbitmqctl has ended, which takes seconds.
		d.lost(rig.Now(), interval+rig.Grace+rig.Slack, interval+rig.Grace+rig.Slack)
	})
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{
		"expires":        `{"expires":3000}`,
		"reject-publish": `{"overflow":"reject-publish"}`,
		"dead letters":   `{"dead-letter-exchange":"","dead-letter-routing-key":"NAME-dead"}`,
		"message ttl":    `{"message-ttl":0}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothKinds(t, func(t *testing.T, slots int) {
				broker := rig.TheBroker(t)
				lock := rig.NewLock(t, slots)
				broker.SetPolicy(lock.Name(), strings.ReplaceAll(policy, "NAME", lock.Name()))
				d := newDuelFor(t, broker, lock)
				fault := rig.Now()
				d.kept(fault, 10*time.Second)
				d.holder.Signal(9)
				d.rival.AwaitExit(0)
				d.Verdict(0)
			})
		})
	}
}
