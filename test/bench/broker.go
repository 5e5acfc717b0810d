package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// broker is the RabbitMQ that everything runs on, seen from its own side.
type broker struct {
	name string // for scripts/broker
	log  string
}

// count is what the broker had done at an instant.
type count struct {
	methods int64
	at      time.Duration
}

// counting makes Erlang count the calls of the functions that handle AMQP methods, those
// of channels and those of connections; heartbeats are not among them. The first call
// begins with 0.
const counting = `{lists:sum([case erlang:trace_info(F, call_count) of
  {call_count, N} when is_integer(N) -> N;
  _ -> 1 = erlang:trace_pattern(F, true, [local, call_count]), 0
end || F <- [{rabbit_channel, handle_method, 3}, {rabbit_reader, handle_method0, 2}]]),
  erlang:monotonic_time(millisecond)}.`

// count asks for the methods that the broker has handled; the question itself is none.
func (b broker) count() (count, error) {
	text, err := output("scripts/broker", "ctl", "-n", b.name, "eval", counting)
	if err != nil {
		return count{}, fmt.Errorf("counting the broker's methods: %w", err)
	}
	var c count
	var ms int64
	if _, err := fmt.Sscanf(string(text), "{%d,%d}", &c.methods, &ms); err != nil {
		return count{}, fmt.Errorf("counting the broker's methods: %w: %s", err, text)
	}
	c.at = time.Duration(ms) * time.Millisecond
	return c, nil
}

// perSecond is the rate since an earlier count.
func (c count) perSecond(before count) float64 {
	return float64(c.methods-before.methods) / (c.at - before.at).Seconds()
}

// over counts the methods a second, for d.
func (b broker) over(d time.Duration) (perSecond float64, err error) {
	before, err := b.count()
	if err != nil {
		return 0, err
	}
	<-time.After(d)
	after, err := b.count()
	return after.perSecond(before), err
}

// refusals counts the lines of the log that say 405.
func (b broker) refusals() (int, error) {
	text, err := os.ReadFile(b.log)
	return bytes.Count(text, []byte("caused a channel exception resource_locked")), err
}

func (b broker) pid() (int, error) {
	text, err := output("scripts/broker", "pid", b.name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// dial is a connection of our own.
func dial() (*amqp.Connection, *amqp.Channel, error) {
	connection, err := amqp.Dial(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		return nil, nil, err
	}
	channel, err := connection.Channel()
	if err != nil {
		return nil, nil, errors.Join(err, connection.Close())
	}
	return connection, channel, nil
}

// awaitLine returns when n waiters stand in the wait queue of a lock.
func awaitLine(connection *amqp.Connection, lock string, n int) error {
	deadline, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var channel *amqp.Channel
	for {
		if channel == nil || channel.IsClosed() {
			var err error
			if channel, err = connection.Channel(); err != nil {
				return err
			}
		}
		q, err := channel.QueueDeclarePassive(lock+"-W", true, false, false, false, nil)
		if err == nil && q.Consumers == n {
			return channel.Close()
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline.Done():
			return fmt.Errorf("%d of %d waiters stand in the wait queue", q.Consumers, n)
		}
	}
}
