package waitq

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// channels is how many a connection may have in the tests of this file.
const channels = 20

// simulated is a waiter at a broker whose wait queue takes that long to declare.
func simulated(t *testing.T, cost time.Duration) (*Waiter, *wire.Link) {
	t.Helper()
	b := broker.New(broker.Options{
		Channels: channels,
		Cost: func(_ *rand.Rand, method, queue string) time.Duration {
			if method == "queue.declare" && queue == wire.WaitQueue("x") {
				return cost
			}
			return 0
		},
	})
	t.Cleanup(b.Close)
	connect := func() *wire.Link {
		link, err := wire.Connect(t.Context(), wire.Broker{Dial: b.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(link.Abort)
		return link
	}
	return &Waiter{
		Queue: Queue{Lock: wire.Ref{Kind: wire.Mutex, Name: "x"}, Link: connect(), Look: LookEvery},
		Retry: FirstRetry,
		Try:   func(context.Context, bool) error { return fault.ErrBusy },

		PutBack: func(context.Context) {},
	}, connect()
}

// Whatever removes the wait queue again and again costs the waiter no channels.
func TestLostPlacesLeaveNoChannels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, other := simulated(t, 0)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Wait(ctx, fault.ErrBusy) }()
		for range 2 * channels {
			<-time.After(time.Minute)
			if err := other.Requests.Remove(wire.WaitQueue("x")); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Minute)
		if n, err := other.Requests.Consumers(wire.WaitQueue("x")); n != 1 || err != nil {
			t.Errorf("%d stand in the queue, %v", n, err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A broker that takes too long to declare it costs none either.
func TestQueuesThatWereGivenUpLeaveNoChannels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const cost = 10 * time.Millisecond
		w, _ := simulated(t, cost)
		for range 2 * channels {
			ctx, cancel := context.WithTimeout(t.Context(), cost/2)
			if w.open(ctx) != nil {
				t.Error("opened, although the broker has not answered")
			}
			cancel()
			<-time.After(cost)
		}
		if w.open(t.Context()) == nil {
			t.Error("it is not opened any more")
		}
	})
}
