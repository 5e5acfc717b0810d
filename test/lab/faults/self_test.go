package faults

import (
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// Faults of amqprun itself. Its guard must do the rest.

func TestKilled(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, slots int) {
		d := newDuel(t, rig.TheBroker(t), slots)
		fault := rig.Now()
		d.holder.Signal(syscall.SIGKILL)
		d.rival.AwaitExit(0)
		rig.Figure(t, "command dead after the fault", d.Run(rig.Holder).Last-fault)
		rig.Figure(t, "next command after the fault", d.Run("rival").Start-fault)
		if last := d.Run(rig.Holder).Last - fault; last > rig.Grace+rig.Slack {
			t.Errorf("the command was alive %s after amqprun was killed", last)
		}
		d.Verdict(0)
	})
}

func TestStopped(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, slots int) {
		d := newDuel(t, rig.TheBroker(t), slots)
		fault := rig.Now()
		d.holder.Signal(syscall.SIGSTOP)
		d.rival.AwaitExit(0)
		rig.Figure(t, "command dead after the fault", d.Run(rig.Holder).Last-fault)
		rig.Figure(t, "next command after the fault", d.Run("rival").Start-fault)
		if last := d.Run(rig.Holder).Last - fault; last > rig.Lease {
			t.Errorf("the command was alive %s after amqprun was stopped", last)
		}
		d.holder.Signal(syscall.SIGCONT)
		d.holder.AwaitExit(exitLost)
		d.Verdict(0)
	})
}

// Stopped for less than the lease: nothing happens.
func TestStoppedBriefly(t *testing.T) {
	t.Parallel()
	d := newDuel(t, rig.TheBroker(t), 0)
	fault := rig.Now()
	d.holder.Signal(syscall.SIGSTOP)
	rig.Pass(rig.Heartbeat)
	d.holder.Signal(syscall.SIGCONT)
	d.kept(fault, 2*rig.Lease)
	d.holder.Signal(syscall.SIGKILL)
	d.rival.AwaitExit(0)
	d.Verdict(0)
}

// amqprun runs for a millisecond in a hundred; the guard and the command are not starved.
// Losing the lock for no reason is allowed then, two holders are not.
func TestStarved(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, slots int) {
		d := newDuel(t, rig.TheBroker(t), slots)
		fault := rig.Now()
		for rig.Now()-fault < 5*rig.Lease && !d.holder.HasEnded() {
			_ = syscall.Kill(d.holder.Pid(), syscall.SIGSTOP)
			rig.Pass(99 * time.Millisecond)
			_ = syscall.Kill(d.holder.Pid(), syscall.SIGCONT)
			rig.Pass(time.Millisecond)
		}
		t.Logf("kept the lock while starving: %v", !d.holder.HasEnded())
		_ = syscall.Kill(d.holder.Pid(), syscall.SIGKILL)
		d.rival.AwaitExit(0)
		d.Verdict(0)
	})
}
