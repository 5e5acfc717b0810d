package main

import (
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

// demand is something that locks make a broker do.
type demand struct {
	name string
	// once does it once. The channel is for one worker alone.
	once func(channel *amqp.Channel, worker int) error
}

const witness = "growth-witness"

var demands = []demand{
	{"logins", func(*amqp.Channel, int) error {
		connection, _, err := dial()
		if err != nil {
			return err
		}
		return connection.Close()
	}},
	{"locks taken and released",
		func(channel *amqp.Channel, worker int) error {
			name := fmt.Sprintf("growth-%d", worker)
			_, err := channel.QueueDeclare(name, false, false, true, false, nil)
			if err == nil {
				_, err = channel.QueueDelete(name, false, false, false)
			}
			return err
		}},
	{"majority checks",
		func(channel *amqp.Channel, _ int) error {
			_, _, err := channel.Get(witness, true)
			return err
		}},
	{"ownership checks",
		func(channel *amqp.Channel, _ int) error {
			_, err := channel.QueueDeclarePassive(witness, true, false, false, false, nil)
			return err
		}},
}

// growth looks for the knee: how many a second the broker does, by the number of clients.
func (b *bench) growth() (_ *table, err error) {
	connection, channel, err := dial()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	_, err = channel.QueueDeclare(witness, true, false, false, false,
		amqp.Table{"x-queue-type": "quorum"})
	if err != nil {
		return nil, err
	}
	t := newTable(fmt.Sprintf("The most that the broker did, of 1, 4, 16 and 64 clients on "+
		"its machine, for %v each.", loaded), "a second (with so many clients)", "")
	for _, d := range demands {
		best, at := 0.0, 0
		for clients := 1; clients <= 64; clients *= 4 {
			rate, err := d.rate(clients)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", d.name, err)
			}
			if rate > best {
				best, at = rate, clients
			}
		}
		t.add(d.name, pair(fmt.Sprintf("%.0f", best), fmt.Sprint(at)))
	}
	_, err = channel.QueueDelete(witness, false, false, false)
	return t, err
}

// loaded is for how long each load lasts.
const loaded = 2 * time.Second

// rate is how often a second so many clients get it done.
func (d demand) rate(clients int) (perSecond float64, err error) {
	channels, counts := make([]*amqp.Channel, clients), make([]int, clients)
	for i := range clients {
		connection, channel, err := dial()
		if err != nil {
			return 0, err
		}
		defer connection.Close()
		channels[i] = channel
	}
	var all errgroup.Group
	begun := time.Now()
	for i, channel := range channels {
		all.Go(func() error {
			for ; time.Since(begun) < loaded; counts[i]++ {
				if err := d.once(channel, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = all.Wait()
	for _, n := range counts {
		perSecond += float64(n) / time.Since(begun).Seconds()
	}
	return perSecond, err
}
