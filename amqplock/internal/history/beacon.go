package history

import (
	"context"
	"crypto/rand"
	"strings"

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
	channel  *amqp.Channel
	messages <-chan amqp.Delivery
	closed   chan *amqp.Error
}

// newBeacon makes a name up.
func newBeacon(lasting bool) *beacon {
	return &beacon{name: rand.Text()[:13], lasting: lasting}
}

// A beacon without its consumer is left behind when its node dies.
const beaconExpiry = 60_000 // milliseconds

func beaconQueue(name string) string { return "amqprun.clock." + name }

func (b *beacon) queue() string { return beaconQueue(b.name) }

// light makes the queue. It does not wait for an answer: an error closes the channel. The
// queue goes with its consumer.
func (b *beacon) light(ctx context.Context, conn *wire.Conn) (err error) {
	b.dim()
	if b.channel, err = open(ctx, conn); err != nil {
		return err
	}
	b.closed = b.channel.NotifyClose(make(chan *amqp.Error, 1))
	args := amqp.Table{
		"x-queue-type":              "classic",
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": b.queue(),
	}
	if b.lasting {
		args["x-expires"] = beaconExpiry
	}
	_, err = b.channel.QueueDeclare(b.queue(), b.lasting, true, !b.lasting, true, args)
	if err != nil {
		return err
	}
	b.messages, err = b.channel.Consume(b.queue(), "", false, false, false, true, nil)
	return reason(err, b.closed)
}

// dim takes the queue away.
func (b *beacon) dim() {
	if b.channel != nil {
		closeLater(b.channel)
		b.channel = nil
	}
}

// isDark reports whether there is no beacon of that name: its connection has ended. Any
// other answer, or none, proves nothing.
func isDark(ctx context.Context, conn *wire.Conn, name string) bool {
	channel, err := open(ctx, conn)
	if err != nil {
		return false
	}
	defer closeLater(channel)
	err = wire.Call(ctx, func() error {
		_, err := channel.QueueDeclarePassive(beaconQueue(name), true, true, false, false, nil)
		return err
	})
	return wire.Code(err) == amqp.NotFound && strings.Contains(err.Error(), "no queue")
}
