package presence

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A waiter asks again and again, over one connection, and gives up where the broker is
// slow. A connection has 2,047 channels.
func TestQuestionsThatWereGivenUpLeaveNoChannels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const slow = 10 * time.Millisecond
		b := broker.New(broker.Options{Cost: func(_ *rand.Rand, method, _ string) time.Duration {
			if method == "basic.consume" {
				return slow
			}
			return 0
		}})
		defer b.Close()
		link, err := wire.Connect(t.Context(), wire.Broker{Dial: b.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		defer link.Abort()
		if err := link.OpenPublish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := declareExchanges(link.Publish()); err != nil {
			t.Fatal(err)
		}
		for range 2100 {
			ctx, cancel := context.WithTimeout(t.Context(), slow/2)
			if _, err := Ask(ctx, link, Everybody, 1); err == nil {
				t.Fatal("asked, although the broker has not answered")
			}
			cancel()
			<-time.After(slow)
		}
		if _, err := link.Publish().Channel(); err != nil {
			t.Error(err)
		}
	})
}
