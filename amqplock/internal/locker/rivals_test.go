package locker

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// The lock connection of a newcomer may end while it waits for an earlier run. Then it
// has nothing to wait for.
func TestTheWaitForARivalEndsWithTheLockConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(broker.Options{Release: broker.V40})
		t.Cleanup(b.Close)
		cfg := Config{
			Broker: wire.Broker{Dial: b.DialContext, Log: testLog(t)},
			Ref:    wire.Ref{Kind: wire.Mutex, Name: "x"},
			Fence:  true, clock: &bubbleClock{start: time.Now()},
		}
		rival := newRival(t, cfg, "rival")
		signed := make(chan error, 1)
		go func() { signed <- rival.sign(t.Context()) }()
		c := testContender(t, cfg)
		c.waits = true
		tried := make(chan error, 1)
		go func() { tried <- c.try(t.Context(), false) }()
		if err := <-signed; err != nil {
			t.Fatal(err)
		}
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
