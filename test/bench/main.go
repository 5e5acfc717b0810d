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
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench is what all measurements need.
type bench struct {
	dir     string // for lock files, stamps and what is to be plotted
	amqprun string
	stamp   string // the program that writes down when it runs
	minimal string // test/bench/minimal
	peers   []peer
	broker  broker
	out     io.Writer

	rounds, handovers, crashes, bursts int
	most                               int // waiters and slots where there are many
	idleFor                            time.Duration
}

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

// peer is one way to run a command under a lock.
type peer struct {
	name    string
	argv    func(lock string, command ...string) []string
	waits   bool // it is measured with waiters too
	crashes int  // it is measured with killed holders too, so many at most
	orphans bool // a command outlives it
}

// with makes an argv of what comes before the command, LOCK being the lock.
func with(before ...string) func(lock string, command ...string) []string {
	return func(lock string, command ...string) []string {
		argv := append([]string{}, before...)
		for i := range argv {
			argv[i] = strings.ReplaceAll(argv[i], "LOCK", lock)
		}
		return append(argv, command...)
	}
}

func peers(dir, amqprun, minimal, etcd string) []peer {
	const all = 1 << 30
	list := []peer{
		{
			name:    "flock",
			argv:    with("flock", filepath.Join(dir, "LOCK")),
			waits:   true,
			crashes: all,
			orphans: true,
		},
		{name: "minimal", argv: with(minimal, "LOCK")},
		{
			name:    "amqprun --mutex",
			argv:    with(amqprun, "--mutex", "LOCK", "--"),
			waits:   true,
			crashes: all,
		},
		{
			name:    "amqprun --semaphore",
			argv:    with(amqprun, "--semaphore", "LOCK-slots", "--slots", "1", "--"),
			crashes: all,
		},
	}
	if etcd != "" {
		etcdctl := with("etcdctl", "--endpoints", etcd, "lock", "LOCK", "--")
		// Each crash takes ten seconds.
		list = append(list,
			peer{name: "etcdctl lock", argv: etcdctl, waits: true, crashes: 3, orphans: true})
	}
	return list
}
