package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// The nodes are restarted one after the other, as for an update, while contenders at each
// want the lock. Who loses it may overlap with the next for the grace, and everybody is
// served in the end.
func TestRollingRestart(t *testing.T) {
	const queueing = 3 // at each node
	begin(t)
	together(t, kinds(), func(t *testing.T, k kind, at at) {
		lock := k.lock(t)
		lock.Start("first", url(1), "--", "-for", "50ms").AwaitExit(0)
		// makes the queue while all are there
		served := make([]int, 3*queueing)
		stop := make(chan struct{})
		var working sync.WaitGroup
		for i := range served {
			working.Go(func() { served[i] = contend(t, lock, 1+i%3, fmt.Sprint("c", i), stop) })
		}
		at(func() {
			for i := 1; i <= 3; i++ {
				restart(t, i)
			}
		})
		close(stop)
		working.Wait()
		t.Logf("commands that ended well, of each contender: %v", served)
		if slices.Contains(served, 0) {
			t.Error("somebody was not served")
		}
		var worst time.Duration
		for _, p := range lock.History().Pairs() {
			t.Logf("%s and %s at once for %s", p.First.ID, p.Second.ID, p.Length)
			worst = max(worst, p.Length)
		}
		rig.Figure(t, "longest overlap", worst)
		if worst > rig.Grace+rig.Slack {
			t.Errorf("two commands at once for %s", worst)
		}
		lock.CheckGrants()
	})
}

// contend runs one command after the other until one has ended well that began after
// stop, and returns how many ended well.
func contend(t *testing.T, lock *rig.Lock, at int, name string, stop <-chan struct{}) (served int) {
	began := rig.Now()
	for n, last := 0, false; rig.Now()-began < 5*rig.Patience; n++ {
		select {
		case <-stop:
			last = true
		default:
		}
		c := lock.Start(fmt.Sprintf("%s-%d", name, n), url(at), "--wait", "60", "--", "-deaf",
			"-for", "700ms")
		for !c.HasEnded() {
			if rig.Pass(5 * time.Millisecond); rig.Now()-c.Asked > 2*rig.Patience {
				t.Errorf("%s does not end", c.ID)
				return served
			}
		}
		switch code := c.Code(); {
		case code == 0 && last:
			return served + 1
		case code == 0:
			served++
		// 77: a node that ends refuses logins when it has no users any more.
		case !slices.Contains([]int{69, 75, 76, 77}, code):
			t.Errorf("%s exited with %d:\n%s", c.ID, code, c.Messages())
			return served
		}
	}
	t.Errorf("%s was not served after the restarts", name)
	return served
}

// restart ends a node as its service would, and starts it again.
func restart(t *testing.T, i int) {
	t.Helper()
	old := pid(t, i)
	if err := syscall.Kill(old, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rig.WaitFor(t, rig.Patience, "the node is dead",
		func() bool { return syscall.Kill(old, 0) != nil })
	node(t, "start", strconv.Itoa(i))
	whole(t)
}
