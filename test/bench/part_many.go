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
	b.manyTable(slots, placed, all, load, after-refused)
	return nil
}

// manyTable prints what many has found out; that it got so far says that nothing was
// lost.
func (b *bench) manyTable(slots int, placed, all time.Duration, load load, refusals int) {
	t := newTable(fmt.Sprintf("%d holders and %d waiters at once", slots, slots), "")
	t.add("from the first start until all hold or wait", fmt.Sprintf("%.1f s", placed.Seconds()))
	t.add("their memory, with guards (PSS)",
		fmt.Sprintf("%s MiB, %s each", mib(load.memory), mib(load.memory/int64(2*slots))))
	t.add("memory of the broker (RSS)", mib(load.broker)+" MiB")
	t.add("their processor time, with guards",
		fmt.Sprintf("%.1f %% of a core", load.cpu*100))
	t.add("processor time of the broker", fmt.Sprintf("%.1f %% of a core", load.brokerCPU*100))
	t.add("AMQP methods that it handles", fmt.Sprintf("%.0f a second", load.methods))
	t.add(fmt.Sprintf("until all %d commands have run, once they end", 2*slots),
		fmt.Sprintf("%.1f s", all.Seconds()))
	t.add("405s in all of that", fmt.Sprint(refusals))
	t.print(b.out, fmt.Sprintf("One machine, with the broker; rates over %v in which nothing "+
		"happens.", watching))
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
