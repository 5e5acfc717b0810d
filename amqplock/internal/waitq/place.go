package waitq

import (
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Place is a place in the wait queue of a lock: one of its consumers.
type Place struct {
	channel *amqp.Channel
	hints   <-chan amqp.Delivery // closed when the place is lost
}

// Declare makes sure that hints are kept from now on. A waiter declares before the try
// whose failure sends it into the queue: a hint of a release after that try then finds
// the queue. It returns the number of waiters in the queue.
func Declare(channel *amqp.Channel, name string) (int, error) {
	q, err := channel.QueueDeclare(wire.WaitQueue(name), true, false, false, false, wire.WaitArgs())
	return q.Consumers, err
}

// join consumes, with a priority among consumers. The caller has declared.
func join(channel *amqp.Channel, name string, priority int) (*Place, error) {
	args := amqp.Table{}
	if priority != 0 {
		args["x-priority"] = priority
	}
	if err := channel.Qos(1, 0, false); err != nil {
		return nil, err
	}
	hints, err := channel.Consume(wire.WaitQueue(name), "", false, false, false, false, args)
	if err != nil {
		return nil, err
	}
	return &Place{channel: channel, hints: hints}, nil
}

// leave closes the channel, which gives an unacknowledged hint to the next in the queue.
// basic.cancel would not do: on RabbitMQ 3.10 it loses the hint of a single active
// consumer and then crashes the queue.
func (p *Place) leave() error { return p.channel.Close() }

// wake sends a hint. Without a queue it goes nowhere.
func wake(channel *amqp.Channel, name string) error {
	return channel.Publish("", wire.WaitQueue(name), false, false, amqp.Publishing{})
}
