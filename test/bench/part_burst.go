package main

import (
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// rush is a crowd's start.
type rush struct {
	starts           []time.Duration // of the commands, in order
	programs, broker time.Duration   // on a processor until the last of them
	refused          int             // claims
}

// burst starts as many processes as there are free slots, all at once: each must get one.
func (b *bench) burst() (_ *table, err error) {
	const name, n = "burst", 50
	if err := b.change(name, n); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.destroy(name)) }()
	if _, err := timed(b.amqprun, "--mutex", name, "--", "true"); err != nil {
		return nil, err // it makes the witness, of which minimal asks
	}
	var ours, floors []rush
	for range b.bursts {
		r, err := b.atOnce(name, n, b.wantSlot(name))
		if err != nil {
			return nil, err
		}
		ours = append(ours, r)
		if r, err = b.atOnce("minimal", n, b.wantOwn("minimal")); err != nil {
			return nil, err
		}
		floors = append(floors, r)
	}
	middle := func(all []rush, of func(rush) time.Duration) time.Duration {
		values := make([]time.Duration, len(all))
		for i, r := range all {
			values[i] = of(r)
		}
		return median(values)
	}
	t := newTable(fmt.Sprintf("%d processes at once, %d free slots, %d times.", n, n, b.bursts),
		"median (/ minimal -checked -slot)", "")
	for _, row := range []struct {
		name string
		of   func(rush) time.Duration
	}{
		{"first command runs, ms", func(r rush) time.Duration { return r.starts[0] }},
		{"last command runs, ms", func(r rush) time.Duration { return r.starts[n-1] }},
		{"programs, ms of a processor", func(r rush) time.Duration { return r.programs }},
		{"broker, ms of a processor", func(r rush) time.Duration { return r.broker }},
	} {
		own, floor := middle(ours, row.of), middle(floors, row.of)
		t.add(row.name, pair(ms(own), ratio(own, floor)))
	}
	refused := middle(ours, func(r rush) time.Duration { return time.Duration(r.refused) })
	t.add("claims refused (405)", fmt.Sprint(int(refused)))
	return t, nil
}

// atOnce starts n processes, and ends them when all commands run.
func (ps *programs) atOnce(
	name string, n int, process func(i int, command ...string) *exec.Cmd,
) (r rush, err error) {
	broker, err := ps.broker.pid()
	if err != nil {
		return r, err
	}
	refused, err1 := ps.broker.refusals()
	used, err2 := cpuTime(broker)
	if err := errors.Join(err1, err2); err != nil {
		return r, err
	}
	c, err := ps.gather(name, n, process)
	if err != nil {
		return r, err
	}
	if err := c.await(n, "+"); err != nil {
		c.disperse()
		return r, err
	}
	r.starts = c.starts
	r.broker, err1 = cpuTime(broker)
	r.broker -= used
	r.programs, err2 = c.cpuTime()
	err = errors.Join(err1, err2, c.letGo(n), c.await(n, "-"), c.leave())
	after, err1 := ps.broker.refusals()
	r.refused = after - refused
	return r, errors.Join(err, err1)
}
