// Command bench measures amqprun, as whole processes, beside other ways to run the same
// command under a lock. They are flock(1), etcdctl lock, consul lock, the original's
// mutex, and the least that a Go program could do with RabbitMQ. scripts/bench builds and
// starts the programs, and runs bench for each release of RabbitMQ. bench prints
// Markdown, and judges no time. It does check that locks exclude, that nobody is left
// out, and that a wait queue keeps its order.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func run() error {
	b, o, one := &bench{}, others{}, release{}
	results := flag.String("results", "", "`file` for the results of all releases")
	docs := flag.String("docs", "",
		"`directory` whose benchmarks.md and benchmarks.svg are written anew")
	b.options(&o, &one)
	flag.Usage = usage
	flag.Parse()
	for _, name := range flag.Args() {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	b.choosePeers(o)
	all, err := readResults(*results)
	if err != nil {
		return err
	}
	if one.Name == "" {
		err = all.save(*docs)
	} else {
		one.Tables = map[string]*table{}
		all.Releases = append(all.Releases, one)
		err = b.run(parts, one, flag.Args(), func() error { return all.save(*docs) })
	}
	if *docs != "" {
		err = errors.Join(err, all.plot(*docs, b.dir))
	}
	return err
}

// options defines those of bench, of the other programs, and of the release.
func (b *bench) options(o *others, one *release) {
	flag.StringVar(&b.minimal, "minimal", "", "the `program` of test/bench/minimal")
	flag.StringVar(&o.etcd, "etcd", "", "`endpoint` of an etcd; without it etcdctl is left out")
	flag.StringVar(&o.consul, "consul", "", "`endpoint` of a consul; without it consul is left out")
	flag.StringVar(&o.python, "python", "", "a Python `program` that has pika")
	flag.StringVar(&one.Name, "release", "", "`name` of this RabbitMQ; without it nothing is measured")
	flag.StringVar(&one.Servers, "servers", "", "`text` about the other servers")
	flag.StringVar(&b.amqprun, "amqprun", "bin/amqprun", "the `program` to measure")
	flag.StringVar(&b.stamp, "stamp", "", "the `program` of test/bench/stamp")
	flag.StringVar(&b.dir, "dir", os.TempDir(), "`directory` for lock files")
	flag.StringVar(&b.broker.name, "broker", "",
		"`name` of the broker for scripts/broker; without it some parts are left out")
	flag.StringVar(&b.broker.log, "log", "", "the broker's log `file`")
	flag.BoolVar(&b.all, "all", false,
		"measure what depends on no release of RabbitMQ too, and large numbers")
	flag.IntVar(&b.rounds, "rounds", 60, "`number` of uncontended runs of each")
	flag.IntVar(&b.handovers, "handovers", 3, "`number` of queues of waiters for each")
	flag.IntVar(&b.crashes, "crashes", 10, "`number` of holders of each kind that are killed")
	flag.IntVar(&b.bursts, "bursts", 5, "`number` of times that 50 processes start at once")
	flag.IntVar(&b.most, "most", 1000,
		"`number` of waiters, slots and processes where there are many")
	flag.DurationVar(&b.idleFor, "idle", time.Minute,
		"how long holders and waiters are watched that do nothing")
}

// run measures the parts, all if only is empty. One that fails does not end the others.
// Each table is saved at once, so a later part that hangs does not cost it.
func (b *bench) run(parts []part, on release, only []string, save func() error) (failed error) {
	fmt.Printf("# %s, on %s\n", on.Name, machine())
	for _, p := range parts {
		if p.once && !b.all || p.near && b.broker.name == "" ||
			len(only) > 0 && !slices.Contains(only, p.name) {
			continue
		}
		begun := time.Now()
		t, err := p.measure(b)
		if errors.Is(err, fs.ErrPermission) {
			fmt.Fprintf(os.Stderr, "bench: %s is left out: %v\n", p.name, err)
			continue
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: error: %s on %s: %v\n", p.name, on.Name, err)
			failed = errors.Join(failed, fmt.Errorf("%s on %s: %w", p.name, on.Name, err))
			continue
		}
		on.Tables[p.name] = t
		fmt.Printf("\n%s\n(%s took %.0f s)\n", t.markdown(), p.name, time.Since(begun).Seconds())
		if err := save(); err != nil {
			return errors.Join(failed, err)
		}
	}
	return failed
}

func usage() {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	fmt.Fprintf(flag.CommandLine.Output(),
		"usage: scripts/bench [OPTION...] [PART...]\nparts: %s; all without any\n",
		strings.Join(names, " "))
	flag.PrintDefaults()
}
