package job

import (
	"context"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
)

// compareSize warns, beside the command, if the semaphore has another number of slots
// than --slots says: --slots never resizes one. The function it returns ends that. It
// waits for the answer of the broker, for releaseTimeout at most, unless the run has
// failed.
func compareSize(s Spec, c *console.Console) (end func(failed error)) {
	want := s.Slots
	if want == 0 {
		return func(error) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		client, err := amqplock.New(s.Broker)
		if err != nil {
			return
		}
		seen, err := client.Look(ctx, s.Lock)
		if err == nil && seen.Slots != want {
			c.Warnf("--slots %d: the semaphore has %d; amqprun change --semaphore %s --to %d resizes it",
				want, seen.Slots, s.Lock.Name, want)
		}
	}()
	return func(failed error) {
		if failed == nil {
			select {
			case <-done:
			case <-time.After(releaseTimeout):
			}
		}
		cancel()
		<-done
	}
}
