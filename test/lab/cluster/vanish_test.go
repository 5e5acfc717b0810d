package cluster

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// With Mnesia the surviving nodes delete the exclusive queues of a dead node in batches,
// by name. They may delete one that has been granted anew in the middle of that
// (https://github.com/rabbitmq/rabbitmq-server/issues/9798). The broker reports it to
// nobody: the holder must notice.
func TestVanishing(t *testing.T) {
	const interval = 500 * time.Millisecond
	vanishing(t, false, interval+rig.Grace+rig.Slack)
}

// With --fence the second waits until the first has ended.
func TestVanishingFenced(t *testing.T) {
	if kept() {
		t.Skip("here nobody follows the log")
	}
	vanishing(t, true, 0)
}

// vanishing has locks vanish, mutexes and slots, and fails if two commands ran at once
// for longer than allowed.
func vanishing(t *testing.T, fenced bool, allowed time.Duration) {
	t.Helper()
	const crowd, contenders = 300, 12
	begin(t)
	locks := make([]*rig.Lock, contenders)
	for i := range locks {
		locks[i] = kind{slots: i % 2, fenced: fenced}.lock(t)
		// It creates a semaphore.
		locks[i].Start("creator", url(1), "--", "-for", "50ms").AwaitExit(0)
	}
	// A quorum queue that is created just before the death of a node may never answer.
	rig.Pass(5 * time.Second)
	holder, err := amqp.Dial(url(1))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	channel, err := holder.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for i := range crowd { // the contended ones are spread over the crowd
		name := fmt.Sprintf("crowd-%d-%d", rig.Now(), i)
		if i%(crowd/contenders) == 0 {
			name = locks[i/(crowd/contenders)].HeldQueue()
		}
		if err := declare(channel, name); err != nil {
			t.Fatal(err)
		}
	}
	var all []*rig.Contender
	for i, lock := range locks {
		// Two for each lock: when the first one's queue has vanished, the second gets it.
		arguments := []string{"--wait", "60", "--connect-timeout", "10", "--", "-for", "6s"}
		all = append(all, lock.Start("first", url(2+i%2), arguments...),
			lock.Start("second", url(3-i%2), arguments...))
	}
	for _, c := range all {
		c.AwaitMessage("waiting for")
	}
	signal(t, syscall.SIGKILL)
	if kept() { // else nobody gets anything
		node(t, "start", "1")
	}
	vanished, disconnected := 0, 0
	var worst time.Duration
	for i, lock := range locks {
		for _, c := range all[2*i : 2*i+2] {
			rig.WaitFor(t, rig.Patience, c.ID+" has ended", c.HasEnded)
			switch {
			case c.Said("error: lost .*(404|405)") != 0:
				vanished++
			case c.Said("error: lost ") != 0:
				disconnected++
			}
		}
		worst = max(worst, lock.History().Overlap(1))
	}
	t.Logf("of %d commands %d lost a lock that had vanished, %d their connection", len(all),
		vanished, disconnected)
	rig.Figure(t, "longest overlap", worst)
	for _, lock := range locks {
		lock.CheckGrants()
	}
	if worst > allowed {
		t.Errorf("two commands at once for %s", worst)
	}
	if !kept() {
		node(t, "start", "1")
	}
	whole(t)
}
