package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// many has half of a crowd hold and the other half wait, and then lets all run: none may
// be lost.
func (b *bench) many() (err error) {
	const name = "many"
	slots := b.most / 2
	if err := b.change(name, slots); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.destroy(name)) }()
	connection, err := amqp.Dial(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		return err
	}
	defer connection.Close()
	refused, err := b.broker.refusals()
	if err != nil {
		return err
	}
	c, err := b.gather(name, 2*slots)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.disperse()
		}
	}()
	if err := errors.Join(c.await(slots, "+"), awaitLine(connection, name, slots)); err != nil {
		return err
	}
	placed := time.Since(c.began)
	load, err := b.loadOf(c)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := errors.Join(c.letGo(2*slots), c.await(2*slots, "-")); err != nil {
		return err
	}
	all := time.Since(began)
	if err = c.leave(); err != nil {
		return err
	}
	after, err := b.broker.refusals()
	if err != nil {
		return err
	}
	b.manyText(slots, placed, all, load, after-refused)
	return nil
}

// manyText prints what many has found out; that it got so far says that nothing was lost.
func (b *bench) manyText(slots int, placed, all time.Duration, load load, refusals int) {
	fmt.Fprintf(b.out, "\n%d holders and %d waiters at once, on one machine with the broker: "+
		"%.1f s until all hold or wait, %.1f s until all have run once they end. "+
		"Claims refused (405): %d.\n",
		slots, slots, placed.Seconds(), all.Seconds(), refusals)
	fmt.Fprintf(b.out, "\nOver %v in which nothing happens they take %s MiB each (PSS, with guards) "+
		"and %.1f %% of a core. The broker takes %s MiB (RSS) and %.1f %%, "+
		"for %.0f AMQP methods a second.\n",
		watching, mib(load.memory/int64(2*slots)), load.cpu*100, mib(load.broker),
		load.brokerCPU*100, load.methods)
}

// load is what a crowd that does nothing costs.
type load struct {
	memory, broker          int64
	cpu, brokerCPU, methods float64
}

func (b *bench) loadOf(c *crowd) (l load, failed error) {
	broker, err := b.broker.pid()
	if err != nil {
		return l, err
	}
	var pids []int
	for _, p := range c.all {
		pids = append(pids, p.Process.Pid)
		if guard := guardOf(p.Process.Pid); guard != 0 { // a waiter has none
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
	l.methods, err = b.broker.over(watching)
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
