package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/amqprun/amqprun/test/program"
)

// many has half of a crowd hold and the other half wait, and then lets all run: none may
// be lost.
func (b *bench) many() (_ *table, err error) {
	const name = "many"
	slots := b.most / 2
	if err := b.change(name, slots); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.destroy(name)) }()
	connection, _, err := dial()
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	refused, err := b.broker.refusals()
	if err != nil {
		return nil, err
	}
	c, err := b.gather(name, 2*slots, b.wantSlot(name))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.disperse()
		}
	}()
	if err := c.await(slots, "+"); err != nil {
		return nil, err
	}
	if err := awaitLine(connection, name, slots); err != nil {
		return nil, err
	}
	placed := time.Since(c.began)
	load, err := b.broker.loadOf(c)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := errors.Join(c.letGo(2*slots), c.await(2*slots, "-")); err != nil {
		return nil, err
	}
	all := time.Since(began)
	if err = c.leave(); err != nil {
		return nil, err
	}
	after, err := b.broker.refusals()
	if err != nil {
		return nil, err
	}
	return tableOfMany(slots, placed, all, after-refused, load), nil
}

func tableOfMany(slots int, placed, all time.Duration, refused int, load load) *table {
	t := newTable(fmt.Sprintf("%d holders and %d waiters at once, on one machine with the broker.",
		slots, slots), "many", "")
	add := func(what, format string, value any) { t.add(what, fmt.Sprintf(format, value)) }
	add("s until all hold or wait", "%.1f", placed.Seconds())
	add("s until all have run, once they end", "%.1f", all.Seconds())
	add("claims refused (405)", "%d", refused)
	add("MiB of each (PSS, with guards)", "%s", mib(load.memory/int64(2*slots)))
	add("MiB of the broker (RSS)", "%s", mib(load.broker))
	add("% of a core that all take while nothing happens", "%.1f", load.cpu*100)
	add("% of a core that the broker takes", "%.1f", load.brokerCPU*100)
	add("AMQP methods a second", "%.0f", load.methods)
	return t
}

// load is what a crowd that does nothing costs.
type load struct {
	memory, broker          int64
	cpu, brokerCPU, methods float64
}

func (b broker) loadOf(c *crowd) (l load, failed error) {
	broker, err := b.pid()
	if err != nil {
		return l, err
	}
	var pids []int
	for _, p := range c.all {
		pids = append(pids, p.Process.Pid)
		if guard := program.GuardOf(p.Process.Pid); guard != 0 { // a waiter has none
			pids = append(pids, guard)
		}
	}
	<-time.After(settled)
	used := func(pids ...int) (total float64) {
		for _, pid := range pids {
			d, err := cpuTime(pid)
			total, failed = total+d.Seconds(), errors.Join(failed, err)
		}
		return total
	}
	began, before, brokerBefore := time.Now(), used(pids...), used(broker)
	l.methods, err = b.over(watching)
	took := time.Since(began).Seconds()
	l.cpu, l.brokerCPU = (used(pids...)-before)/took, (used(broker)-brokerBefore)/took
	failed = errors.Join(failed, err)
	for _, pid := range pids {
		size, err := proportional(pid)
		l.memory, failed = l.memory+size, errors.Join(failed, err)
	}
	l.broker, err = status(broker, "VmRSS")
	return l, errors.Join(failed, err)
}
