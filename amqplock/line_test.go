package amqplock

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// Hints alone keep the line moving, also where several slots come free at once and a hint is merged with another: with the slow retry
// switched off a single lost hint would stall it.
func TestHintsAloneServeEveryone(t *testing.T) {
	for _, slots := range []int{1, 3} {
		cfg := testConfig(t, Semaphore)
		cfg.Slots, cfg.retry, cfg.Logf = slots, time.Hour, nil
		var holders, most atomic.Int32
		var party errgroup.Group
		for range 12 {
			party.Go(func() error {
				for range 10 {
					lock, err := Acquire(t.Context(), cfg)
					if err != nil {
						return err
					}
					n := holders.Add(1)
					for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
					}
					holders.Add(-1)
					if err := lock.Release(t.Context()); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := party.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := int(most.Load()); got > slots {
			t.Errorf("%d holders of %d slots", got, slots)
		}
	}
}
