package locker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// Whatever a killed creation has left, the next semaphore has the slots that were asked
// for, and no more of them can be held.
func TestRemainsOfACreationAreNoSlots(t *testing.T) {
	t.Parallel()
	const begun, want = 12, 3
	for name, next := range map[string]func(context.Context, Config) error{
		"create": func(ctx context.Context, cfg Config) error {
			cfg.Slots = want
			lock, err := Acquire(ctx, cfg)
			if err == nil {
				err = lock.Release(ctx)
			}
			return err
		},
		"adjust": func(ctx context.Context, cfg Config) error {
			return Adjust(ctx, cfg.Broker, cfg.Name, want)
		},
		"resize": func(ctx context.Context, cfg Config) error {
			return Resize(ctx, cfg.Broker, cfg.Name, want)
		},
		"drain": func(ctx context.Context, cfg Config) error {
			return DrainTo(ctx, cfg.Broker, cfg.Name, want)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n, fallen := 1, true; fallen; n++ {
				synctest.Test(t, func(t *testing.T) {
					b := broker.New(broker.Options{})
					defer b.Close()
					cfg := Config{
						Broker: wire.Broker{Dial: b.DialContext},
						Ref:    wire.Ref{Kind: wire.Semaphore, Name: "x"},
						clock:  &bubbleClock{start: time.Now()},
					}
					fate := &axe{left: n, via: b.DialContext}
					killed := cfg
					killed.Slots, killed.Dial = begun, fate.dial
					if lock, err := TryAcquire(t.Context(), killed); err == nil {
						_ = lock.Release(t.Context())
					}
					fallen = fate.fallen
					pass(time.Minute)
					if _, err := Look(t.Context(), cfg.Broker, cfg.Ref); err == nil {
						return // it was made
					}
					if err := next(t.Context(), cfg); err != nil {
						t.Fatalf("killed after %d methods: %v", n, err)
					}
					held := 0
					for range begun + 1 {
						for _, slots := range []int{0, begun} { // what they expect
							mine := cfg
							mine.Slots = slots
							lock, err := TryAcquire(t.Context(), mine)
							if err == nil {
								held++
								defer func() { _ = lock.Release(t.Context()) }()
							}
						}
					}
					if held != want {
						t.Errorf("killed after %d methods: %d hold slots, want %d", n, held, want)
					}
				})
			}
		})
	}
}
