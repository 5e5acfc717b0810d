package locker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// simulated runs a test in a bubble with a simulated RabbitMQ.
func simulated(
	t *testing.T, kind wire.Kind, test func(t *testing.T, b *broker.Broker, cfg Config),
) {
	t.Helper()
	simulatedBy(t, broker.Options{}, kind, test)
}

// simulatedBy does the same with a broker of these options.
func simulatedBy(
	t *testing.T, options broker.Options, kind wire.Kind,
	test func(t *testing.T, b *broker.Broker, cfg Config),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(options)
		t.Cleanup(b.Close)
		test(t, b, Config{
			Broker: wire.Broker{Dial: b.DialContext, Log: testLog(t)},
			Ref:    wire.Ref{Kind: kind, Name: "x"}, clock: &bubbleClock{start: time.Now()},
		})
	})
}
