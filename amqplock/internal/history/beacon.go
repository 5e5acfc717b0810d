package history

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// beacon is a queue of our own that shows whether our publish connection is alive.
//
// After a crash it is gone. Where the nodes of a cluster have lost each other it is not:
// it is durable, and the others answer that its node is down. An exclusive queue is gone
// in both cases. So a newcomer that gets no sign of life can distinguish the two.
type beacon struct {
	name     string
	lasting  bool // else it is exclusive, and good for the clock alone
	channel  *wire.Channel
	messages <-chan amqp.Delivery
}

// newBeacon makes a name up.
func newBeacon(lasting bool) *beacon {
	return &beacon{name: rand.Text()[:13], lasting: lasting}
}

// A beacon without its consumer is left behind when its node dies.
const beaconExpiry = 60_000 // milliseconds

func beaconQueue(name string) string { return "amqprun.clock." + name }

func (b *beacon) queue() string { return beaconQueue(b.name) }

// light makes the queue, which goes with its consumer.
func (b *beacon) light(ctx context.Context, conn *wire.Conn) error {
	b.dim()
	channel, err := openChannel(ctx, conn)
	if err != nil {
		return err
	}
	b.channel = channel
	args := amqp.Table{
		"x-queue-type":              "classic",
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": b.queue(),
	}
	if b.lasting {
		args["x-expires"] = beaconExpiry
	}
	b.messages, err = wire.CallOn(ctx, channel, func() (<-chan amqp.Delivery, error) {
		// A refusal would cross with what is sent behind the request, see wire.Channel.
		_, err := channel.QueueDeclare(b.queue(), b.lasting, true, !b.lasting, false, args)
		if err != nil {
			return nil, err
		}
		return channel.Consume(b.queue(), "", false, false, false, true, nil)
	})
	return err
}

// dim takes the queue away.
func (b *beacon) dim() {
	if b.channel != nil {
		b.channel.CloseLater()
		b.channel = nil
	}
}

// darkTime bounds isDark. A newcomer reads nothing meanwhile, and a node that has just
// lost that of the queue may not answer for a minute.
const darkTime = 5 * time.Second

// isDark reports whether there is no beacon of that name: its connection has ended. Any
// other answer, or none, proves nothing.
func isDark(ctx context.Context, conn *wire.Conn, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, darkTime)
	defer cancel()
	channel, err := openChannel(ctx, conn)
	if err != nil {
		return false
	}
	defer channel.CloseLater()
	err = channel.Call(ctx, func() error {
		_, err := channel.QueueDeclarePassive(beaconQueue(name), true, true, false, false, nil)
		return err
	})
	return wire.Code(err) == amqp.NotFound && strings.Contains(err.Error(), "no queue")
}
