package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

// tokens is the stream of one lock, on a connection of its own. A token of amqprun comes
// from such a stream and the broker's clock. Grant and end of a run are appended to it.
type tokens struct {
	stream   string
	channel  *amqp.Channel
	messages <-chan amqp.Delivery
	now      time.Time // the broker's
}

// openTokens makes the stream if need be, and stands at its end. It learns the time of
// the broker beside that.
func openTokens(lock string) (*tokens, error) {
	connection, err := amqp.Dial(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		return nil, err
	}
	t := &tokens{stream: lock + "-tokens"}
	var group errgroup.Group
	group.Go(func() error { return t.stand(connection) })
	group.Go(func() error { return t.askTime(connection) })
	return t, group.Wait()
}

func (t *tokens) stand(connection *amqp.Connection) (err error) {
	if t.channel, err = connection.Channel(); err != nil {
		return err
	}
	if err := t.channel.Qos(512, 0, false); err != nil {
		return err
	}
	_, err = t.channel.QueueDeclare(t.stream, true, false, false, false,
		amqp.Table{"x-queue-type": "stream", "x-max-length-bytes": 8_000_000})
	if err != nil {
		return err
	}
	t.messages, err = t.channel.Consume(t.stream, "", false, false, false, false,
		amqp.Table{"x-stream-offset": "last"})
	if err != nil {
		return err
	}
	return t.channel.Confirm(false)
}

// askTime has the broker dead-letter a message: nowhere else does it show its time.
func (t *tokens) askTime(connection *amqp.Connection) error {
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	queue := fmt.Sprintf("minimal.clock.%d", os.Getpid())
	_, err = channel.QueueDeclare(queue, false, true, true, false, amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue,
	})
	if err != nil {
		return err
	}
	messages, err := channel.Consume(queue, "", false, false, false, true, nil)
	if err != nil {
		return err
	}
	if err := channel.Publish("", queue, false, false, amqp.Publishing{}); err != nil {
		return err
	}
	message := <-messages
	if err := message.Reject(false); err != nil {
		return err
	}
	message = <-messages
	deaths, _ := message.Headers["x-death"].([]any)
	if len(deaths) == 0 {
		return errors.New("the broker did not dead-letter a message")
	}
	death, _ := deaths[0].(amqp.Table)
	t.now, _ = death["time"].(time.Time)
	return nil
}

// take appends a grant, and reads the stream up to it.
func (t *tokens) take() error {
	grant := fmt.Sprintf("grant %d %d", os.Getpid(), t.now.UnixMilli())
	if _, err := t.append(grant); err != nil {
		return err
	}
	for message := range t.messages {
		if string(message.Body) == grant {
			return nil
		}
		if err := message.Ack(false); err != nil {
			return err
		}
	}
	return amqp.ErrClosed
}

// end returns when the broker has confirmed the end.
func (t *tokens) end() error {
	confirm, err := t.append(fmt.Sprintf("end %d", os.Getpid()))
	if err == nil && !confirm.Wait() {
		err = errors.New("the broker did not take the end")
	}
	return err
}

func (t *tokens) append(record string) (*amqp.DeferredConfirmation, error) {
	return t.channel.PublishWithDeferredConfirm("", t.stream, true, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(record)})
}
