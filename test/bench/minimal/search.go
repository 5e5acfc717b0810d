package main

import (
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

// barrier is a queue that cannot exist: RabbitMQ lets nobody declare "amq.".
const barrier = "amq.minimal.barrier"

// search asks which queues exist by mandatory messages, on a connection of its own. The
// broker logs nothing of that. A memory alarm would block the lock connection if it
// published.
type search struct {
	connection *amqp.Connection
	channel    *amqp.Channel
	returns    chan amqp.Return
}

// openSearch returns when the broker has answered about the queues of a free slot.
func openSearch(lock string) (*search, error) {
	connection, err := amqp.Dial(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		return nil, err
	}
	s := &search{connection: connection}
	if s.channel, err = connection.Channel(); err != nil {
		return nil, err
	}
	s.returns = s.channel.NotifyReturn(make(chan amqp.Return, 8))
	return s, s.ask(lock+"-drained", lock+"-slot", lock)
}

// ask returns when the broker has returned the barrier, and so has answered for queues.
func (s *search) ask(queues ...string) error {
	for _, queue := range append(queues, barrier) {
		if err := s.channel.Publish("", queue, true, false, amqp.Publishing{}); err != nil {
			return err
		}
	}
	for r := range s.returns {
		if r.RoutingKey == barrier {
			return nil
		}
	}
	return amqp.ErrClosed
}

// close has the first waiter look, and closes the connection.
func (s *search) close(lock string) error {
	if err := s.ask(lock + "-line"); err != nil {
		return err
	}
	return s.connection.Close()
}
