package locker

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/lease"
)

// The checks end when they are stopped, also on a machine where each of them is late.
func TestLateChecksEnd(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{now: time.Hour}
	pacer, err := clock.NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	checking, stop := context.WithCancel(t.Context())
	k := &keeper{cfg: Config{clock: clock}, pacer: pacer, checking: checking}
	if _, ok := k.sleep(time.Minute, nil); !ok {
		t.Error("a late check is left out")
	}
	stop()
	if _, ok := k.sleep(time.Minute, nil); ok {
		t.Error("the checks go on")
	}
}

// The call that comes last has the newest lease, whichever check was faster. A check that
// waits for the call of another would have an old one.
func TestRenewalsNeverGoBack(t *testing.T) {
	t.Parallel()
	k := &keeper{lease: lease.New(10*time.Second, time.Second, []string{"a"})}
	var got time.Duration
	k.OnRenew(func(_, until time.Duration) { got = until })
	k.lease.Prove(0, time.Hour)
	k.onRenew.mu.Lock() // as a call does
	done := make(chan struct{})
	go func() { defer close(done); k.onRenew.call() }()
	stacks := make([]byte, 1<<20)
	waitFor(t, "it waits", func() bool {
		all := strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
		return slices.ContainsFunc(all, func(one string) bool {
			return strings.Contains(one, "[sync.Mutex.Lock") &&
				strings.Contains(one, "TestRenewalsNeverGoBack")
		})
	})
	k.lease.Prove(0, 2*time.Hour)
	k.onRenew.mu.Unlock()
	<-done
	if got != k.lease.Until() {
		t.Errorf("the lease is until %s, the call says %s", k.lease.Until(), got)
	}
}
