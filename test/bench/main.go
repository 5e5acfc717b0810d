// Command bench measures amqprun, as whole processes, beside other ways to run the same
// command under a lock. They are flock(1), etcdctl lock, and the least that a Go program
// could do with RabbitMQ. scripts/bench builds and starts the programs. bench prints
// Markdown, and judges no time. It does check that locks exclude, that nobody is left
// out, and that a wait queue keeps its order.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// part is a measurement that can be run alone.
type part struct {
	name    string
	measure func(*bench) error
}

var parts = []part{
	{"start", (*bench).uncontended},
	{"handover", (*bench).handOver},
	{"crash", (*bench).crash},
	{"slots", (*bench).slots},
	{"history", (*bench).history},
	{"burst", (*bench).burst},
	{"line", (*bench).line},
	{"idle", (*bench).idle},
	{"many", (*bench).many},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func run() error {
	b := &bench{}
	flag.StringVar(&b.minimal, "minimal", "", "the `program` of test/bench/minimal")
	etcd := flag.String("etcd", "", "`endpoint` of an etcd; without it etcdctl is left out")
	versions := flag.String("versions", "", "`text` about the servers for the first line")
	docs := flag.String("docs", "",
		"`directory` whose benchmarks.md and benchmarks.svg are written anew")
	flag.StringVar(&b.amqprun, "amqprun", "bin/amqprun", "the `program` to measure")
	flag.StringVar(&b.stamp, "stamp", "", "the `program` of test/bench/stamp")
	flag.StringVar(&b.dir, "dir", os.TempDir(), "`directory` for lock files")
	flag.StringVar(&b.broker.name, "broker", "", "`name` of the broker for scripts/broker")
	flag.StringVar(&b.broker.log, "log", "", "the broker's log `file`")
	flag.IntVar(&b.rounds, "rounds", 100, "`number` of uncontended runs of each")
	flag.IntVar(&b.handovers, "handovers", 4, "`number` of queues of waiters for each")
	flag.IntVar(&b.crashes, "crashes", 20, "`number` of holders of each kind that are killed")
	flag.IntVar(&b.bursts, "bursts", 5, "`number` of times that 50 processes start at once")
	flag.IntVar(&b.most, "most", 1000,
		"`number` of waiters, slots and processes where there are many")
	flag.DurationVar(&b.idleFor, "idle", time.Minute,
		"how long holders and waiters are watched that do nothing")
	flag.Usage = usage
	flag.Parse()
	for _, name := range flag.Args() {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	b.peers = peers(b.dir, b.amqprun, b.minimal, *etcd)

	report := newReport(*docs)
	b.out = io.MultiWriter(os.Stdout, &report.text)
	fmt.Fprintf(b.out, "%s; %s.\n", machine(), *versions)
	err := report.section("machine")
	for _, p := range parts {
		if err != nil || flag.NArg() > 0 && !slices.Contains(flag.Args(), p.name) {
			continue
		}
		if err = p.measure(b); err == nil {
			err = report.section(p.name)
		}
	}
	if err == nil {
		err = report.plot(b.dir)
	}
	return err
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

func machine() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	model := "unknown processor"
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(cpus) {
		if key, value, _ := strings.Cut(string(line), ":"); strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%d cores (%s), %s %s, load %s at the start; %s", runtime.NumCPU(), model,
		runtime.GOOS, strings.TrimSpace(string(release)),
		strings.Join(strings.Fields(string(load))[:1], ""), runtime.Version())
}
