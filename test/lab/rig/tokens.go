package rig

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Tokens has twenty contenders take the slots of a fenced semaphore in turn. Their wall
// clocks are up to two hours apart, and faults hit their broker. At last its history
// is deleted. Each contender keeps to one node. The oracle wants each token to be larger
// than all that were given out before its contender asked.
type Tokens struct {
	*Lock
	URLs   []string // of the nodes
	Faults []Fault

	served [3]atomic.Int64 // commands that ended well, by the node
	newest atomic.Int64    // when the contender of one of those was started
}

const (
	tokenContenders = 20
	clockStep       = 6 * time.Minute // between the clocks of two contenders
)

// grantsAndHold are how many grants there are at least, and how long a command runs.
// AMQPRUN_LAB_GRANTS asks for as many as fast as possible. Otherwise other tests run
// beside this one.
func grantsAndHold(t *testing.T) (grants int64, hold time.Duration) {
	t.Helper()
	text := os.Getenv("AMQPRUN_LAB_GRANTS")
	if text == "" {
		return 100, time.Second
	}
	grants, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return grants, 30 * time.Millisecond
}

// Run makes each fault once, and again until there are enough grants.
func (k *Tokens) Run() {
	t := k.t
	t.Helper()
	random := Random(t)
	grants, hold := grantsAndHold(t)
	NeedClocks(t)
	// It creates the semaphore. Its clock is ahead of the others'.
	k.StartWrong(time.Hour, "first", k.URLs[0], "--", "-for", "50ms").AwaitExit(0)
	// A quorum queue that is created just before the death of a node may never answer.
	Pass(5 * time.Second)
	began := Now()
	going, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait() // also after t.Fatal
	defer stop()
	for i := range tokenContenders {
		working.Go(func() { k.work(going, i, hold) })
	}
	faults := append(slices.Clip(k.Faults), Fault{"deletion", k.forget})
	k.awaitGrants(20)
	for n := 0; !t.Failed() && (n < len(faults) || k.Served() < grants); n++ {
		fault := faults[n%len(faults)]
		t.Logf("%.3f %s after %d grants", Now().Seconds(), fault.Name, k.Served())
		fault.Strike(t, random)
		k.awaitGrants(max(20, grants/(5*int64(len(faults)))))
	}
	stop()
	working.Wait()
	Figure(t, fmt.Sprintf("%d commands ended well", k.Served()), Now()-began)
	if k.History().Overlap(k.Slots-1) == 0 {
		t.Error("the slots were never held at once")
	}
	var worst time.Duration
	for _, p := range k.History().Pairs() {
		worst = max(worst, p.Length)
	}
	Figure(t, "longest overlap", worst)
	if worst > Grace+Slack {
		t.Errorf("two commands at once for %s", worst)
	}
	k.CheckGrants()
}

// Served is how many commands have ended well, of contenders at these nodes, or at all.
// They count from 1.
func (k *Tokens) Served(nodes ...int) (sum int64) {
	for i := range k.served {
		if len(nodes) == 0 || slices.Contains(nodes, i+1) {
			sum += k.served[i].Load()
		}
	}
	return sum
}

// At is what the names of contenders at that node begin with.
func (k *Tokens) At(node int) string { return fmt.Sprintf("%s-at-%d-", Holder, node) }

func (k *Tokens) awaitGrants(more int64) {
	k.t.Helper()
	until := k.Served() + more
	patience := Patience + time.Duration(more)*time.Second
	WaitFor(k.t, patience, fmt.Sprint(more, " more grants"),
		func() bool { return k.t.Failed() || k.Served() >= until })
}

// work runs one contender after the other until going has ended and one that was started
// later has been served.
func (k *Tokens) work(going context.Context, i int, hold time.Duration) {
	node := i % len(k.URLs)
	wrong := time.Duration(i-tokenContenders/2) * clockStep
	for n, last := 0, 0; last < 5 && !k.t.Failed(); n++ {
		if going.Err() != nil {
			last++
		}
		c := k.StartWrong(wrong, fmt.Sprint(k.At(node+1), i, "-", n), k.URLs[node],
			"--wait", "60", "--connect-timeout", "30", "--", "-for", hold.String())
		select {
		case <-c.done:
		case <-time.After(2 * Patience):
			k.t.Errorf("%s does not end", c.ID)
			return
		}
		switch code := c.Code(); {
		case code == 0:
			k.served[node].Add(1)
			k.newest.Store(int64(c.Asked))
			if last > 0 {
				return
			}
		// 77 and 78: a node that ends refuses logins when it has no users any more.
		case !slices.Contains([]int{69, 75, 76, 77, 78}, code):
			k.t.Errorf("%s exited with %d:\n%s", c.ID, code, c.Messages())
			return
		}
	}
	if !k.t.Failed() {
		k.t.Errorf("contender %d was not served after the faults", i)
	}
}

// forget deletes the history. A younger one must not be deleted, or its tokens may come
// again: the time of the broker is known to 1.5 s.
func (k *Tokens) forget(t *testing.T, _ *rand.Rand) int {
	t.Helper()
	since := Now()
	WaitFor(t, Patience, "there is a token of this history",
		func() bool { return t.Failed() || time.Duration(k.newest.Load()) > since })
	Pass(7 * time.Second)
	conn, err := amqp.Dial(k.URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deleted := make(chan error, 1)
	go func() {
		channel, err := conn.Channel()
		if err == nil {
			_, err = channel.QueueDelete(k.Name()+"-L", false, false, false)
		}
		deleted <- err
	}()
	select {
	case err = <-deleted:
	case <-time.After(Patience):
		t.Fatal("the broker does not delete the history")
	}
	if err != nil {
		t.Fatal(err)
	}
	return 1
}
