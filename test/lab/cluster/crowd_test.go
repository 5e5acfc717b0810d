package cluster

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// duels are many pairs of a holder at the first node and a rival at another.
type duels struct {
	t       *testing.T
	locks   []*rig.Lock
	holders []*rig.Contender
	rivals  []*rig.Contender
}

// calmHeartbeat is long, as the machine is busy with so many.
const calmHeartbeat = 10 * time.Second

// fencedOf is of how many duels one has tokens: each history has three replicas.
const fencedOf = 30

// newDuels starts some at a time, or none would ever get to its start.
func newDuels(t *testing.T, n int) *duels {
	t.Helper()
	const batch = 10
	calm := []string{
		"--heartbeat", strconv.Itoa(int(calmHeartbeat.Seconds())),
		"--check-interval", "3", "--connect-timeout", "30",
	}
	// This is the tmpfs of lab-cluster. So many canaries on a disk would leave the brokers
	// none of it.
	t.Setenv("TMPDIR", "/run")
	d := &duels{t: t}
	for i := range n {
		lock := kind{fenced: i%fencedOf == 0}.lock(t)
		d.locks = append(d.locks, lock)
		d.holders = append(d.holders,
			lock.Start(rig.Holder, url(1), append(calm, "--", "-deaf", "-beat", "100ms")...))
		if i%batch == batch-1 {
			for _, c := range d.holders[i+1-batch:] {
				c.AwaitStart()
			}
		}
	}
	for i, lock := range d.locks {
		d.rivals = append(d.rivals, lock.Start("rival", url(2+i%2),
			append(calm, "--wait", "300", "--", "-for", "3s", "-beat", "100ms")...))
		if i%batch == batch-1 {
			for _, c := range d.rivals[i+1-batch:] {
				c.AwaitMessage("waiting for")
			}
		}
	}
	for _, c := range d.holders {
		if c.HasEnded() {
			t.Fatalf("a holder lost its lock before the fault:\n%s", c.Messages())
		}
	}
	return d
}

// awaitEnds returns how many rivals lost a lock that had vanished.
func (d *duels) awaitEnds() (vanished int) {
	d.t.Helper()
	for i, rival := range d.rivals {
		d.holders[i].AwaitExit(76)
		rig.WaitFor(d.t, 2*rig.Patience, fmt.Sprintf("rival %d has ended", i), rival.HasEnded)
		switch code := rival.Code(); {
		case code == 76 && rival.Said("error: lost .*(404|405)") != 0:
			vanished++
		case code != 0:
			d.t.Errorf("rival %d exited with %d:\n%s", i, code, rival.Messages())
		}
	}
	return vanished
}

// figures returns the longest overlap, and how many there were. No command may outlive
// its lease.
func (d *duels) figures(fault time.Duration) (worst time.Duration, overlaps int) {
	d.t.Helper()
	var signalled, dead, last time.Duration
	first := time.Hour
	for _, lock := range d.locks {
		old := lock.Run(rig.Holder)
		signalled, dead = max(signalled, old.Signal-fault), max(dead, old.Last-fault)
		// A rival without a command lost the lock before its command began.
		if next := lock.History().Find("rival"); next != nil {
			first, last = min(first, next.Start-fault), max(last, next.Start-fault)
		}
		if overlap := lock.History().Overlap(1); overlap > 0 {
			overlaps++
			worst = max(worst, overlap)
		}
		lock.CheckGrants()
	}
	if dead > 2*calmHeartbeat {
		d.t.Errorf("a command was alive %s after the fault", dead)
	}

	rig.Figure(d.t, "last stop signal", signalled)
	rig.Figure(d.t, "last command dead", dead)
	rig.Figure(d.t, "first next command", first)
	rig.Figure(d.t, "last next command", last)
	rig.Figure(d.t, "longest overlap", worst)
	return worst, overlaps
}

// After so many seconds of silence nodes take each other for dead. That of lab-cluster is
// too quick for a machine that is busy with so many: the two others part for ever. They
// notice the death of the first by its connections.
const calmTick, quickTick = 60, 8

func tick(t *testing.T, seconds int, nodes ...int) {
	t.Helper()
	for _, n := range nodes {
		node(t, "eval", strconv.Itoa(n), fmt.Sprintf("net_kernel:set_net_ticktime(%d, 0).", seconds))
	}
}

// A node dies with three hundred holders, and a rival of each waits at another node.
func TestCrowdKilled(t *testing.T) {
	const crowd = 300
	alone(t)
	d := newDuels(t, crowd)
	tick(t, calmTick, 1, 2, 3)
	fault := rig.Now()
	signal(t, syscall.SIGKILL)
	again := func() {
		tick(t, quickTick, 2, 3) // as the first node has it from its start on
		node(t, "start", "1")
	}
	if kept() { // else nobody gets anything
		again()
	} else {
		t.Cleanup(func() { again(); whole(t) })
	}
	vanished := d.awaitEnds()
	worst, overlaps := d.figures(fault)
	t.Logf("%d of %d overlapped; %d of the next lost a lock that had vanished", overlaps, crowd,
		vanished)
	if worst > rig.Grace+rig.Slack {
		t.Errorf("two commands at once for %s", worst)
	}
}
