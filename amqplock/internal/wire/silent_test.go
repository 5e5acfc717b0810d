package wire

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/test/sim/broker"
)

// A publish connection over which nothing comes from the end of its handshake on ends as
// soon as any other that is silent.
func TestSilenceAfterTheHandshake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(broker.Options{})
		defer b.Close()
		at, err := Broker{Dial: b.DialContext}.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		c, err := at.Open(t.Context(), ForPublish)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Abort()
		c.Socket.(*broker.Socket).Lose()
		select {
		case <-c.Ended:
		case <-time.After(2 * at.Heartbeat):
			t.Error("it is not noticed")
		}
	})
}
