package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// steps finds out where the time of a hand-over goes, by what passes between the programs
// and the broker.
func (b *bench) steps() (*table, error) {
	w, err := listen()
	if err != nil {
		return nil, err
	}
	runs, err := b.queue(b.mutex(), "steps")
	seen, err1 := w.collect()
	if err = errors.Join(err, err1); err != nil {
		return nil, err
	}
	instants := map[string][]time.Duration{} // of each event, since the end of a command
	n := 0
	for i := 1; i < len(runs); i++ {
		events, ok := trace{seen, runs[i-1].end}.handOver()
		if !ok {
			continue
		}
		n++
		events["start"] = runs[i].begin
		for name, at := range events {
			instants[name] = append(instants[name], at-runs[i-1].end)
		}
	}
	if 2*n < len(runs) {
		return nil, fmt.Errorf("only %d of %d hand-overs are understood", n, len(runs)-1)
	}
	t := newTable(fmt.Sprintf("Medians of %d hand-overs of a mutex, as seen on the wire.", n),
		"step, ms at its end", "")
	for _, s := range []struct{ name, from, to string }{
		{"its end is noticed", "", "delete"},
		{"delete", "delete", "deleted"},
		{"hint", "deleted", "hint"},
		{"declare", "hint", "granted"},
		{"majority, beside it", "get", "majority"},
		{"last look", "granted", "held"},
		{"the next starts", "held", "start"},
	} {
		from := "0.00"
		if s.from != "" {
			from = ms(median(instants[s.from]))
		}
		to := ms(median(instants[s.to]))
		t.add(s.name, to)
		t.Points = append(t.Points, []string{s.name, from, to})
	}
	return t, nil
}

// trace is what has passed, and from when on it is read.
type trace struct {
	seen []method
	from time.Duration
}

// handOver finds the events of the next hand-over, and reports whether all are there.
func (t trace) handOver() (events map[string]time.Duration, ok bool) {
	events, ok = map[string]time.Duration{}, true
	// find reads on behind the next method of that name. Client 0 is any.
	find := func(t *trace, event, name string, sends bool, client uint16) uint16 {
		i := slices.IndexFunc(t.seen, func(m method) bool {
			return m.at >= t.from && m.name == name && m.sends == sends &&
				(client == 0 || m.client == client)
		})
		if i < 0 {
			ok = false
			return client
		}
		m := t.seen[i]
		events[event], t.seen, t.from = m.at, t.seen[i+1:], m.at
		return m.client
	}
	holder := find(&t, "delete", "queue.delete", true, 0)
	find(&t, "deleted", "queue.delete-ok", false, holder)
	find(&t, "hint", "basic.deliver", false, 0)
	beside := t
	waiter := find(&t, "claim", "queue.declare", true, 0)
	find(&beside, "get", "basic.get", true, waiter)
	find(&beside, "majority", "basic.get-empty", false, waiter)
	find(&t, "granted", "queue.declare-ok", false, waiter)
	find(&t, "look", "queue.declare", true, waiter)
	find(&t, "held", "queue.declare-ok", false, waiter)
	return events, ok
}
