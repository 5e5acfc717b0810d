package locker

import (
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// will is the last will of a holder: a message that it keeps unacknowledged on the lock
// connection. When that dies the broker puts the message back into its queue, where it
// expires at once. The queue's arguments send expired messages to the wait queue. So
// the next waiter knows of a crash within milliseconds.
type will struct {
	mu      sync.Mutex
	channel *amqp.Channel // nil until armed
	message *amqp.Delivery
}

// arm is called again before the broker loses its patience with the consumer. The message
// that arrives may be that of another who arms at the same time, which gets ours: so
// nobody waits for it. consuming gets the goroutine of the consumer, which ends with
// lock.
func (w *will) arm(
	lock *wire.Conn, messages *wire.RequestChannel, name string, consuming *sync.WaitGroup,
) error {
	if !w.consumes() {
		if err := w.consume(lock, name, consuming); err != nil {
			return err
		}
	}
	if err := w.replace(); err != nil {
		return err
	}
	return messages.Do(func(ch *amqp.Channel) error {
		return ch.Publish("", wire.WillQueue(name), false, false, amqp.Publishing{})
	})
}

func (w *will) consumes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.channel != nil && !w.channel.IsClosed()
}

// consume makes the queue, and keeps what comes out of it.
func (w *will) consume(lock *wire.Conn, name string, consuming *sync.WaitGroup) error {
	channel, err := lock.Channel()
	if err != nil {
		return err
	}
	queue := wire.WillQueue(name)
	_, err = channel.QueueDeclare(queue, true, false, false, false, wire.WillArgs(name))
	if err != nil {
		return err
	}
	if err := channel.Qos(1, 0, false); err != nil {
		return err
	}
	wills, err := channel.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	consuming.Go(func() {
		for message := range wills {
			w.keep(&message)
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.channel = channel
	return nil
}

func (w *will) keep(message *amqp.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.message = message
}

// replace revokes the message, and returns when the broker knows that: it answers the
// requests on a channel in order. The next message comes on another connection. The
// consumer takes one at a time, and a message that overtook the end of the one before
// would expire at once.
func (w *will) replace() error {
	w.revoke()
	w.mu.Lock()
	channel := w.channel
	w.mu.Unlock()
	return channel.Qos(1, 0, false)
}

// revoke is for a holder that leaves in peace.
func (w *will) revoke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.message != nil {
		_ = w.message.Ack(false)
		w.message = nil
	}
}
