package main

import (
	"errors"
	"fmt"
	"time"
)

// watching is how long those who wait are watched.
const watching = 10 * time.Second

// line measures what a line of many costs the broker, and that it keeps the order in
// which they joined.
func (b *bench) line() (*table, error) {
	t := newTable(fmt.Sprintf("One mutex, %d ms under the lock each, served in the order "+
		"in which they joined.", holdMS),
		"waiters: methods, median ms for each; methods a second while all wait", "")
	most := b.most
	if !b.all {
		most = max(most/10, 10)
	}
	for n := 10; n <= most; n *= 10 {
		l, err := b.lineOf(b.mutex(), n)
		if err != nil {
			return nil, fmt.Errorf("%d waiters: %w", n, err)
		}
		t.add(fmt.Sprint(n), fmt.Sprintf("%.1f, %s; %.1f", l.methods, ms(median(l.gaps)), l.waiting))
	}
	return t, nil
}

type lineResult struct {
	methods, waiting float64 // for each hand-over; a second while all wait
	gaps             []time.Duration
}

func (ps *programs) lineOf(p peer, n int) (result lineResult, err error) {
	connection, _, err := dial()
	if err != nil {
		return result, err
	}
	defer connection.Close()
	lock := fmt.Sprintf("line-%d", n)
	first, err := ps.hold(p, lock)
	if err != nil {
		return result, err
	}
	q := ps.newQueue(p, lock)
	defer func() { err = errors.Join(err, first.letGo(), q.wait()) }()
	for i := range n { // one by one, so that we know the order
		if err := q.start(); err != nil {
			return result, err
		}
		if err := awaitLine(connection, lock, i+1); err != nil {
			return result, err
		}
	}
	if result.waiting, err = ps.broker.over(watching); err != nil {
		return result, err
	}
	before, err := ps.broker.count()
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
	after, err := ps.broker.count()
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
