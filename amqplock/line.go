package amqplock

import (
	amqp "github.com/rabbitmq/amqp091-go"
)

// line is a place in the waiting line of a lock: a consumer of its line queue. The queue has a single active consumer, so the broker keeps
// the order and makes the next one active when the first leaves or dies. A message there means "you are first, try now"; the queue
// holds one at most. All of this is a hint: the truth is the exclusive declare, and a slow retry covers a lost hint.
type line struct {
	name    string
	channel *amqp.Channel
	hints   <-chan amqp.Delivery // closed when the line cannot be used any more
}

// declareLine makes sure that hints are kept from now on. It comes before the try whose failure sends us into the line: what is released after
// that try then finds the queue. It returns how many stand in the line.
func declareLine(channel *amqp.Channel, name string) (int, error) {
	q, err := channel.QueueDeclare(lineQueue(name), true, false, false, false, lineArgs())
	return q.Consumers, err
}

// join consumes; the caller has declared.
func join(channel *amqp.Channel, name string) (*line, error) {
	if err := channel.Qos(1, 0, false); err != nil {
		return nil, err
	}
	hints, err := channel.Consume(lineQueue(name), "", false, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	return &line{name: name, channel: channel, hints: hints}, nil
}

// leave closes the channel, which gives an unacknowledged hint to the next in the line. basic.cancel would not do: on RabbitMQ 3.10 it loses
// the hint of a single active consumer and then crashes the queue.
func (l *line) leave() error { return l.channel.Close() }

// wake tells the first in the line to try. Without a line the message goes nowhere.
func wake(channel *amqp.Channel, name string) error {
	return channel.Publish("", lineQueue(name), false, false, amqp.Publishing{})
}

// promoted is the type of a message that says no more than "you are first".
const promoted = "first"

// promote tells the next in the line, whom the broker has made the active consumer in silence, that it is first now. It may only be sent when no
// hint can be in the queue, which it would replace: by who has just taken a mutex.
func promote(channel *amqp.Channel, name string) error {
	return channel.Publish("", lineQueue(name), false, false, amqp.Publishing{Type: promoted})
}
