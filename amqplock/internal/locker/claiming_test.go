package locker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A run says that it holds when the grant is proven, and says nothing while it claims.
// Here the broker takes a second for each proof of the majority. A run that claims a slot
// has its publish connection, over which it could say something.
func TestRunThatClaimsIsNoHolder(t *testing.T) {
	t.Parallel()
	slow := broker.Options{Cost: func(_ *rand.Rand, method, _ string) time.Duration {
		if method == "basic.get" {
			return time.Second
		}
		return 0
	}}
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		simulatedBy(t, slow, kind, func(t *testing.T, _ *broker.Broker, cfg Config) {
			if kind == wire.Semaphore {
				cfg.Slots = 1
			}
			cfg.About = named("claims")
			said := func() []presence.Answer {
				said, err := Said(t.Context(), cfg.Broker, cfg.Ref)
				if err != nil {
					t.Error(err)
				}
				return said
			}
			got := takeLater(t, cfg)
			for asked := false; ; asked = true {
				pass(presence.Delay)
				early := said()
				select {
				case holder := <-got:
					if !asked {
						t.Error("nobody has asked while it claimed")
					}
					pass(2 * presence.Delay)
					if late := said(); len(late) != 1 || late[0].Claims() == 0 {
						t.Errorf("%v: it holds, and said %+v", kind, late)
					}
					if err := holder.Release(t.Context()); err != nil {
						t.Error(err)
					}
					return
				default:
				}
				if len(early) > 0 {
					t.Fatalf("%v: it claims, and said %+v", kind, early)
				}
			}
		})
	}
}
