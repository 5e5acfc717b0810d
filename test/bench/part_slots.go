package main

import (
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// slots measures how long it takes to get the one slot of many that is free.
func (b *bench) slots() (_ *table, err error) {
	const name = "slots"
	began := time.Now()
	if err := b.change(name, b.most); err != nil {
		return nil, err
	}
	created := time.Since(began)
	defer func() { err = errors.Join(err, b.destroy(name)) }()
	connection, channel, err := dial()
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	queue := func(slot int) string { return fmt.Sprintf("%s-B-%d", name, slot) }
	hold := func(slot int) error {
		limit := amqp.Table{"x-max-length": 0}
		_, err := channel.QueueDeclare(queue(slot), false, false, true, false, limit)
		return err
	}
	for i := range b.most {
		if err := hold(i + 1); err != nil {
			return nil, err
		}
	}
	took, mutex := map[string][]time.Duration{}, []time.Duration{}
	rounds := max(b.rounds/4, 1)
	for range rounds {
		for _, c := range []struct {
			where string
			slot  int
		}{
			{"the first", 1}, {"in the middle", b.most / 2}, {"the last", b.most},
		} {
			d, err := timed(b.amqprun, "--mutex", name+"-mutex", "--", "true")
			if err != nil {
				return nil, err
			}
			mutex = append(mutex, d)
			if _, err := channel.QueueDelete(queue(c.slot), false, false, false); err != nil {
				return nil, err
			}
			if d, err = timed(b.amqprun, "-n", "--semaphore", name, "--", "true"); err != nil {
				return nil, err
			}
			took[c.where] = append(took[c.where], d)
			if err := hold(c.slot); err != nil {
				return nil, err
			}
		}
	}
	title := fmt.Sprintf("One free slot, %d runs of each, the mutex in between. "+
		"To create the %d slots took %.1f s.", rounds, b.most, created.Seconds())
	return slotsTable(title, b.most, mutex, took), nil
}

func slotsTable(
	title string, most int, mutex []time.Duration, took map[string][]time.Duration,
) *table {
	t := newTable(title, "`true` under", "median ms", "p90", "/ mutex")
	row := func(what string, values []time.Duration) {
		middle, _, p90 := spread(values)
		t.add(what, middle, p90, ratio(median(values), median(mutex)))
	}
	row("a free mutex", mutex)
	for _, where := range []string{"the first", "in the middle", "the last"} {
		row(fmt.Sprintf("the only free slot, %s of %d", where, most), took[where])
	}
	return t
}
