package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// watching is how long those who wait are watched.
const watching = 10 * time.Second

// line measures what a line of many costs the broker, and that it keeps the order in
// which they joined.
func (b *bench) line() error {
	p := b.peers[slices.IndexFunc(b.peers, func(p peer) bool { return p.name == "amqprun --mutex" })]
	t := newTable("waiters", "broker methods for each hand-over", "median ms for each", "p90",
		"methods a second while all wait")
	var lines []string
	for n := 10; n <= b.most; n *= 10 {
		l, err := b.lineOf(p, n)
		if err != nil {
			return fmt.Errorf("%d waiters: %w", n, err)
		}
		median, _, p90 := spread(l.gaps)
		t.add(fmt.Sprint(n), fmt.Sprintf("%.1f", l.methods), median, p90,
			fmt.Sprintf("%.1f", l.waiting))
		lines = append(lines, point(fmt.Sprintf("%d %.1f", n, l.methods), l.gaps))
	}
	t.print(b.out, fmt.Sprintf("One mutex, %d ms under the lock each, served in the order "+
		"in which they joined.", holdMS))
	return b.points("line", lines)
}

type lineResult struct {
	methods, waiting float64 // for each hand-over; a second while all wait
	gaps             []time.Duration
}

func (b *bench) lineOf(p peer, n int) (result lineResult, err error) {
	connection, err := amqp.Dial(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		return result, err
	}
	defer connection.Close()
	lock := fmt.Sprintf("line-%d", n)
	first, err := b.hold(p, lock)
	if err != nil {
		return result, err
	}
	q := b.newQueue(p, lock)
	defer func() { err = errors.Join(err, first.letGo(), q.wait()) }()
	for i := range n { // one by one, so that we know the order
		if err := q.start(); err != nil {
			return result, err
		}
		if err := awaitLine(connection, lock, i+1); err != nil {
			return result, err
		}
	}
	if result.waiting, err = b.broker.over(watching); err != nil {
		return result, err
	}
	before, err := b.broker.count()
	if err != nil {
		return result, err
	}
	if err := first.letGo(); err != nil {
		return result, err
	}
	runs, err := q.finish()
	if err != nil {
		return result, err
	}
	after, err := b.broker.count()
	if err != nil {
		return result, err
	}
	result.methods, result.gaps = float64(after.methods-before.methods)/float64(n), gapsOf(runs)
	for i, run := range runs {
		if run.label != fmt.Sprint(i) {
			return result, fmt.Errorf("waiter %s was served as number %d", run.label, i)
		}
	}
	return result, nil
}
