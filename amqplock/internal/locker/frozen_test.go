package locker

import (
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// A frozen first waiter gets the hints and does nothing about them. Those behind it see
// that the lock stays free, and take it, in whatever order they look.
func TestFrozenFirstWaiterKeepsNobodyFromTheLock(t *testing.T) {
	t.Parallel()
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t, kind)
			cfg.look, cfg.retry = 50*time.Millisecond, time.Hour // looks alone
			if kind == wire.Semaphore {
				cfg.Slots = 1
			}
			holder := mustAcquire(t, cfg)
			joinQueue(t, cfg.Name) // and acknowledges nothing
			granted := make(chan int, 3)
			for i := range 3 {
				passThrough(t, cfg, granted, i)
				awaitWaiters(t, cfg.Name, i+2)
			}
			if err := holder.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				testbroker.Receive(t, "service of one behind the frozen waiter", granted)
			}
		})
	}
}

// A living first waiter is not overtaken by one that looks.
func TestLookingWaiterDoesNotOvertake(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.look, cfg.retry = 3*time.Second, time.Hour // so long has the first to react to a hint
	holder := testSession(t, cfg)
	if err := holder.Requests.Claim(cfg.Name); err != nil {
		t.Fatal(err)
	}
	granted := make(chan int, 2)
	for i := range 2 {
		passThrough(t, cfg, granted, i)
		awaitWaiters(t, cfg.Name, i+1)
	}
	if err := holder.Requests.Remove(cfg.Name); err != nil { // without a hint
		t.Fatal(err)
	}
	servedInOrder(t, granted, 0, 1) // the second sees it first, and gives the first a hint
}
