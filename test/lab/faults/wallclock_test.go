package faults

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/test/lab/proxy"
	"github.com/amqprun/amqprun/test/lab/rig"
)

// The leases, the guard and the waiters must not follow the wall clock. These tests step
// the clock of the whole machine. So they are not parallel, and run only on request. make
// test-faults requests them in a virtual machine.
func needClock(t *testing.T) {
	t.Helper()
	if os.Getenv("AMQPRUN_LAB_CLOCK") == "" {
		t.Skip(
			"it steps the clock of the whole machine: scripts/lab clock runs it in a virtual one")
	}
	if err := shiftClock(0); err != nil {
		t.Fatalf("may not set the clock: %v", err)
	}
}

// An hour is skipped: no lease has run out by that, and no waiter has waited for so long.
func TestClockForward(t *testing.T) {
	needClock(t)
	d := newDuel(t, rig.TheBroker(t), 1)
	const wait = 6 * time.Second
	impatient := d.Start("impatient", d.broker.URL, "--wait", wait.String(), "--", "-for", "50ms")
	impatient.AwaitMessage("waiting for")
	fault := rig.Now()
	stepClock(t, time.Hour, time.Second)
	impatient.AwaitExit(75)
	if waited := impatient.Ended - impatient.Asked; waited < wait {
		t.Errorf("its -w is %s, it waited %s", wait, waited)
	}
	d.kept(fault, 3*rig.Lease)
	d.KillCommand(rig.Holder)
	d.holder.AwaitExit(128 + 9)
	d.rival.AwaitExit(0)
	d.Verdict(0)
}

// The clock is set back while a lease runs out: it runs out all the same. Once amqprun
// itself has to see to it, once, because amqprun is stopped, its guard.
func TestClockBack(t *testing.T) {
	needClock(t)
	for name, harm := range map[string]func(*duel){
		"amqprun": func(d *duel) { d.proxy.Break(proxy.Blackhole(), proxy.Blackhole()) },
		"guard":   func(d *duel) { d.holder.Signal(syscall.SIGSTOP) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDuel(t, rig.TheBroker(t), 0)
			fault := rig.Now()
			harm(d)
			rig.Pass(rig.Lease / 2)
			stepClock(t, -time.Hour, rig.Lease/2+rig.Slack)
			if !d.holder.HasEnded() {
				d.holder.Signal(syscall.SIGCONT)
			}
			d.lost(fault, rig.Lease, 0)
		})
	}
}

// stepClock steps the wall clock for a while.
func stepClock(t *testing.T, step, while time.Duration) {
	t.Helper()
	before := wallClock()
	defer func() {
		if err := shiftClock(before - wallClock()); err != nil {
			t.Errorf("THE CLOCK OF THIS MACHINE IS WRONG by %s: %v", wallClock()-before, err)
		}
	}()
	if err := shiftClock(step); err != nil {
		t.Error(err)
		return
	}
	if is := wallClock() - before; (is - step).Abs() > rig.Slack {
		t.Errorf("the clock was to be stepped by %s and was by %s", step, is)
	}
	rig.Pass(while)
}

// wallClock is how far the wall clock is before CLOCK_BOOTTIME, which no step changes.
func wallClock() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &now)
	return time.Duration(now.Nano()) - rig.Now()
}

// shiftClock adds to the wall clock, in one step.
func shiftClock(by time.Duration) error {
	micros := by.Microseconds()
	seconds := micros / 1e6
	if micros %= 1e6; micros < 0 { // the kernel wants it positive
		seconds, micros = seconds-1, micros+1e6
	}
	_, err := unix.Adjtimex(
		&unix.Timex{Modes: unix.ADJ_SETOFFSET, Time: unix.Timeval{Sec: seconds, Usec: micros}})
	if errors.Is(err, unix.EPERM) {
		return errors.New("it takes CAP_SYS_TIME")
	}
	return err
}
