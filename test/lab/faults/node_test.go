package faults

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// The broker is stopped, and continued after some heartbeats: it finds the holder's
// frames in its socket, or has lost it.
func TestNodePaused(t *testing.T) {
	t.Parallel()
	for _, heartbeats := range []int{1, 3, 10} {
		t.Run(fmt.Sprintf("for %d T", heartbeats), func(t *testing.T) {
			t.Parallel()
			d := newDuel(t, rig.NewBroker(t), 1)
			fault := rig.Now()
			d.broker.Signal(syscall.SIGSTOP)
			t.Cleanup(func() { d.broker.Signal(syscall.SIGCONT) })
			rig.Pass(time.Duration(heartbeats) * rig.Heartbeat)
			d.broker.Signal(syscall.SIGCONT)
			if heartbeats > 1 {
				d.lost(fault, rig.Lease, 0)
				return
			}
			d.kept(fault, 3*rig.Lease)
			d.holder.Signal(syscall.SIGKILL)
			d.rival.AwaitExit(0)
			d.Verdict(0)
		})
	}
}

// The broker dies and comes back with its data: the semaphore is still there, and can be
// had again.
func TestNodeKilled(t *testing.T) {
	t.Parallel()
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			d := newDuel(t, rig.NewBroker(t), 1)
			// A quorum queue that is created in the last moment before the death never
			// answers again. 4.0.5 logs "configured member of queue ... was not found".
			rig.Pass(5 * time.Second)
			fault := rig.Now()
			d.broker.Signal(how)
			d.holder.AwaitExit(exitLost)
			last := d.Run(rig.Holder).Last
			rig.Figure(t, "stop signal after the fault", d.Run(rig.Holder).Signal-fault)
			rig.Figure(t, "command dead after the fault", last-fault)
			if how == syscall.SIGKILL && last-fault > rig.Grace+rig.Slack {
				t.Errorf("the command was alive %s after the broker was killed", last-fault)
			}
			d.broker.Restart()
			d.rival.AwaitExit(0)
			if rival := d.History().Find("rival"); rival != nil {
				rig.Figure(t, "next command after the fault", rival.Start-fault)
			}
			if d.rival.Said("created semaphore") != 0 {
				t.Error("the restart has lost the semaphore")
			}
			d.Verdict(0)
		})
	}
}

// A memory and a disk alarm of ten leases in all: holders notice nothing, release works,
// the next one gets the lock afterwards.
func TestAlarms(t *testing.T) {
	t.Parallel()
	broker := rig.NewBroker(t)
	mutex, semaphore := newDuel(t, broker, 0), newDuel(t, broker, 1)
	fault := rig.Now()
	broker.Ctl("set_vm_memory_high_watermark", "0")
	broker.AwaitAlarm("memory")
	rig.Pass(5*rig.Lease - (rig.Now() - fault))
	broker.Ctl("set_disk_free_limit", "1000000GB")
	broker.AwaitAlarm("disk")
	broker.Ctl("set_vm_memory_high_watermark", "0.8")
	newcomer := rig.NewLock(t, 0)
	single := newcomer.Start("newcomer", broker.URL, "--nonblock", "--", "-for", "200ms")
	single.AwaitExit(0) // a mutex needs no publish
	late := semaphore.Start("late", broker.URL, "--wait", "110", "--", "-for", "200ms")
	for _, d := range []*duel{mutex, semaphore} {
		d.kept(fault, 10*rig.Lease)
		if said := d.holder.Said("proved nothing"); said != 0 {
			t.Errorf("a check failed during the alarm:\n%s", d.holder.Messages())
		}
	}
	asked := rig.Now()
	mutex.KillCommand(rig.Holder)
	mutex.holder.AwaitExit(128 + 9)
	rig.Figure(t, "release during an alarm", mutex.holder.Ended-asked)
	mutex.rival.AwaitExit(0)
	rig.Figure(t, "hand-over during an alarm", mutex.Run("rival").Start-mutex.Run(rig.Holder).Last)
	mutex.Verdict(0)
	semaphore.KillCommand(rig.Holder)
	semaphore.holder.AwaitExit(128 + 9)
	broker.Ctl("set_disk_free_limit", "20MB")
	semaphore.rival.AwaitExit(0)
	late.AwaitExit(0)
	semaphore.Verdict(0)
	newcomer.Verdict(0)
}
