package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/test/program"
)

// settled is after what a holder does in the first seconds, and a waiter in the first.
const settled = 4 * time.Second

// checkInterval is amqprun's default.
const checkInterval = 3 * time.Second

// idle measures what a lock costs while its command runs, and what waiting for it costs.
func (b *bench) idle() (_ *table, failed error) {
	holders := make([]*process, 0, len(b.peers))
	locks := make([]string, len(b.peers))
	for i, p := range b.peers {
		locks[i] = fmt.Sprintf("idle-%d", i) // two of them would want the same queue
		h, err := b.hold(p, locks[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		defer func() { failed = errors.Join(failed, h.letGo()) }()
		holders = append(holders, &process{name: p.name, pid: h.Process.Pid})
	}
	held, err := b.broker.watch(holders, b.idleFor)
	if err != nil {
		return nil, err
	}
	var waiting []*process
	for i, p := range b.peers {
		if !strings.HasPrefix(p.name, "amqprun") {
			continue
		}
		argv := p.argv(locks[i], "true")
		w := exec.Command(argv[0], argv[1:]...)
		w.Stderr = os.Stderr
		if err := w.Start(); err != nil {
			return nil, err
		}
		defer func() { // these are the last to be waited for: who is deferred later runs earlier
			failed = errors.Join(failed, w.Process.Signal(syscall.SIGTERM))
			_ = reap(w)
		}()
		waiting = append(waiting, &process{name: p.name + ", waiting", pid: w.Process.Pid})
	}
	waited, err := b.broker.watch(waiting, b.idleFor)
	if err != nil {
		return nil, err
	}
	n := float64(len(waiting)) // as many of ours hold as wait
	t := newTable(fmt.Sprintf("Cost of holding a lock, and of waiting for it, over %v. "+
		"The broker handles %.1f AMQP methods a minute for a holder, %.1f of them for each check, "+
		"and %.1f for a waiter.",
		b.idleFor, held*60/n, held/n*checkInterval.Seconds(), (waited-held)*60/n),
		"a command that waits", "CPU, % of a core", "MiB (guard)")
	for _, p := range slices.Concat(holders, waiting) {
		t.add(p.name, fmt.Sprintf("%.4f", 100*p.cpu.Seconds()/b.idleFor.Seconds()),
			pair(mib(p.rss+p.guardRSS), mib(p.guardRSS)))
	}
	return t, nil
}

// process is a program that is watched, with its guard if it has one.
type process struct {
	name          string
	pid, guard    int
	cpu           time.Duration // with the guard
	rss, guardRSS int64
}

// watch fills in what the processes use within d, and returns how many methods a second
// the broker handles meanwhile.
func (b broker) watch(processes []*process, d time.Duration) (perSecond float64, failed error) {
	<-time.After(settled)
	before, err := b.count()
	if err != nil {
		return 0, err
	}
	used := func(sum func(sum, own time.Duration) time.Duration) {
		for _, p := range processes {
			own, err := cpuTime(p.pid)
			p.cpu, failed = sum(p.cpu, own), errors.Join(failed, err)
			if p.guard != 0 {
				own, err := cpuTime(p.guard)
				p.cpu, failed = sum(p.cpu, own), errors.Join(failed, err)
			}
		}
	}
	for _, p := range processes {
		p.guard = program.GuardOf(p.pid)
	}
	used(func(sum, own time.Duration) time.Duration { return sum - own })
	<-time.After(d)
	used(func(sum, own time.Duration) time.Duration { return sum + own })
	for _, p := range processes {
		var err1, err2 error
		p.rss, err1 = status(p.pid, "VmRSS")
		if p.guard != 0 {
			p.guardRSS, err2 = status(p.guard, "VmRSS")
		}
		failed = errors.Join(failed, err1, err2)
	}
	after, err := b.count()
	return after.perSecond(before), errors.Join(failed, err)
}
