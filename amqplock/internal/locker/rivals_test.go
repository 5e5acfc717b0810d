package locker

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// tryBeside has a contender try beside an earlier run. It returns when that has given its
// sign of life.
func tryBeside(t *testing.T, cfg Config) (earlier *rival, c *contender, tried <-chan error) {
	t.Helper()
	earlier = newRival(t, cfg, "earlier")
	signed := make(chan error, 1)
	go func() { signed <- earlier.sign(t.Context()) }()
	c = testContender(t, cfg)
	c.waits = true
	result := make(chan error, 1)
	go func() { result <- c.try(t.Context(), false) }()
	if err := <-signed; err != nil {
		t.Fatal(err)
	}
	return earlier, c, result
}

// The lock connection of a newcomer may end while it waits for an earlier run. Then it
// has nothing to wait for.
func TestTheWaitForARivalEndsWithTheLockConnection(t *testing.T) {
	t.Parallel()
	simulatedBy(t, broker.Options{Release: broker.V40}, wire.Mutex,
		func(t *testing.T, _ *broker.Broker, cfg Config) {
			cfg.Fence = true
			_, c, tried := tryBeside(t, cfg)
			pass(time.Second)
			begun := time.Now()
			c.link.Lock.Socket.(*broker.Socket).Reset()
			if err := <-tried; !errors.Is(err, fault.ErrUnreachable) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(begun); took > time.Second {
				t.Errorf("it has waited for %s more", took)
			}
		})
}

// A newcomer had to wait, and its slot is granted again before it is sure of it. It does
// not begin behind a run with a larger token, though that has ended.
func TestANewcomerBeginsBehindNoLargerToken(t *testing.T) {
	t.Parallel()
	slow := broker.Options{Release: broker.V40,
		Cost: func(_ *rand.Rand, method, _ string) time.Duration {
			if method == "basic.get" {
				return time.Second
			}
			return 0
		}}
	simulatedBy(t, slow, wire.Mutex, func(t *testing.T, _ *broker.Broker, cfg Config) {
		cfg.Fence = true
		earlier, _, tried := tryBeside(t, cfg)
		if err := earlier.end(); err != nil {
			t.Fatal(err)
		}
		if err := newRival(t, cfg, "later").end(); err != nil { // while the newcomer proves its lock
			t.Fatal(err)
		}
		if err := <-tried; !isBusy(err) {
			t.Errorf("got %v", err)
		}
	})
}
