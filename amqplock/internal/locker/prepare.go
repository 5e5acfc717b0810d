package locker

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// rearmAfter is well within the half hour after which RabbitMQ closes the channel of a
// consumer that does not acknowledge.
const rearmAfter = 20 * time.Minute

// prepare makes the hand-over fast. It is not needed for correctness, so a failure is
// only logged. A short command does not pay for it. It opens the publish connection for
// the hand-over, arms the last will, and subscribes to the notice of removed slots.
func (h *Holder) prepare() {
	h.log.prepare(h.link)        // also if the work ends meanwhile
	if h.link.Publish() != nil { // others may wait: the hint shall not wait for its channel
		_ = h.link.OpenProber(h.checking)
	}
	select {
	case <-time.After(presence.Delay):
	case <-h.checking.Done():
		return
	}
	if h.cfg.Elastic {
		h.publishing.Go(func() { grow(h.keeper) })
	}
	again := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	var watched *wire.Conn
	for {
		pause, ended := h.cfg.rearm, make(<-chan struct{})
		err := h.link.OpenPublish(h.checking)
		if conn := h.link.Publish(); err == nil && conn != watched && h.cfg.Kind == wire.Semaphore {
			h.background.Go(func() { watchSlots(h.keeper, conn) })
			watched = conn
		}
		if err == nil {
			err = h.checker.openPreCheck(h.checking, h.link)
		}
		if err == nil {
			ended = h.link.Publish().Ended
			_ = h.link.OpenProber(h.checking) // for the hint to the next, which can do without
			err = h.armWill()
		} else {
			pause = again.NextBackOff()
		}
		if err != nil && h.checking.Err() == nil {
			h.cfg.Debugf("waiters would notice a crash of this run late: %v", err)
		}
		select {
		case <-time.After(pause):
			continue
		case <-ended:
		case <-h.checking.Done():
			return
		}
		select {
		case <-time.After(again.NextBackOff()):
		case <-h.checking.Done():
			return
		}
	}
}

// armWill returns early when the checks are stopped. What it leaves behind counts as
// background before Release waits for that: it may still start the consumer.
func (h *Holder) armWill() error {
	messages, armed := h.link.Messages(), make(chan error, 1)
	h.background.Go(func() {
		armed <- h.will.arm(h.link.Lock, messages, h.cfg.Name, &h.background)
	})
	select {
	case err := <-armed:
		return err
	case <-h.checking.Done():
		return context.Cause(h.checking)
	}
}

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
	w.mu.Lock()
	channel := w.channel
	w.mu.Unlock()
	if channel == nil || channel.IsClosed() {
		var err error
		if channel, err = lock.Channel(); err != nil {
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
		messages, err := channel.Consume(queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		consuming.Go(func() {
			for message := range messages {
				w.keep(&message)
			}
		})
		w.mu.Lock()
		w.channel = channel
		w.mu.Unlock()
	}
	w.revoke()
	return messages.Do(func(ch *amqp.Channel) error {
		return ch.Publish("", wire.WillQueue(name), false, false, amqp.Publishing{})
	})
}

func (w *will) keep(message *amqp.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.message = message
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
