package faults

import (
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/proxy"
	"github.com/amqprun/amqprun/test/lab/rig"
)

// Waiters outlive the proxy between them and their broker, because they know of another
// way. They also outlive a broker that is away for a minute.
func TestWaitersOutliveAProxyAndABroker(t *testing.T) {
	t.Parallel()
	broker := rig.NewBroker(t)
	p, err := proxy.Listen(broker.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	locks := []*rig.Lock{rig.NewLock(t, 0), rig.NewLock(t, 1)}
	var waiters []*rig.Contender
	for _, lock := range locks {
		lock.Start(rig.Holder, broker.URL).AwaitStart()
		w := lock.Start("waiter", broker.URL, "--wait", "600", "--url", broker.Through(p.Addr()),
			"--url", broker.URL, "--", "-for", "200ms")
		w.AwaitMessage("waiting for")
		waiters = append(waiters, w)
	}
	p.Close()
	for _, w := range waiters {
		w.AwaitMessage("connected to .* again, with a new place in the wait queue")
	}
	rig.Pass(5 * time.Second) // a queue that was created just before the death may never answer
	broker.Signal(syscall.SIGKILL)
	rig.Pass(time.Minute)
	broker.Restart()
	for i, w := range waiters {
		w.AwaitExit(0)
		locks[i].Verdict(0)
	}
}
