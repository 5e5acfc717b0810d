package locker

import (
	"errors"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A broker that is too far away for a token is named as that: it does answer.
func TestABrokerTooFarAwayForAToken(t *testing.T) {
	t.Parallel()
	simulatedBy(t, broker.Options{
		Latency: func(*mathrand.Rand) time.Duration { return 300 * time.Millisecond },
	}, wire.Mutex, func(t *testing.T, _ *broker.Broker, cfg Config) {
		cfg.Fence = true
		lock, err := TryAcquire(t.Context(), cfg)
		if err == nil {
			_ = lock.Release(t.Context())
		}
		if !errors.Is(err, fault.ErrUnreachable) || !strings.Contains(err.Error(), "takes 600ms") {
			t.Errorf("got %v", err)
		}
	})
}
