package locker

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// RabbitMQ shows a quorum queue before it has a process, and answers 541 to a get then.
// Several first commands at a new virtual host meet that. It is no reason to say that
// others hold the lock.
func TestWitnessThatIsJustBeingMade(t *testing.T) {
	t.Parallel()
	for name, acquire := range map[string]func(context.Context, Config) (*Holder, error){
		"try": TryAcquire, "wait": Acquire,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				failures := p.fail(2, "get", wire.Witness, "noproc")
				begun := time.Now()
				lock, err := acquire(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); *failures != 2 || took > time.Second {
					t.Errorf("%d failures, %v", *failures, took)
				}
				if err := lock.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// It has an end, and then it is no busy lock either.
func TestWitnessThatNeverWorks(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		p.fail(math.MaxInt, "get", wire.Witness, "noproc")
		begun := time.Now()
		_, err := TryAcquire(t.Context(), cfg)
		if errors.Is(err, fault.ErrNotAcquired) || !errors.Is(err, fault.ErrUnreachable) {
			t.Errorf("%v, want ErrUnreachable", err)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
