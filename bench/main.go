// Command bench measures amqprun, as whole processes, beside what else could run the same command: flock(1), etcdctl lock, and the least
// that a Go program could do with RabbitMQ. scripts/bench builds and starts what it needs. It prints Markdown and judges nothing.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// bench is what all measurements need.
type bench struct {
	dir   string // for lock files and stamps
	stamp string // the program that writes down when it runs
	peers []peer
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1) //nolint:forbidigo // nothing is held here, and every process is waited for in run
	}
}

func run() error {
	b := &bench{}
	amqprun := flag.String("amqprun", "bin/amqprun", "the `program` to measure")
	minimal := flag.String("minimal", "", "the `program` of bench/minimal")
	etcd := flag.String("etcd", "", "`endpoint` of an etcd; without it etcdctl is left out")
	versions := flag.String("versions", "", "`text` about the servers for the first line")
	rounds := flag.Int("rounds", 100, "`number` of uncontended runs of each")
	handovers := flag.Int("handovers", 4, "`number` of queues of waiters for each")
	flag.StringVar(&b.stamp, "stamp", "", "the `program` of bench/stamp")
	flag.StringVar(&b.dir, "dir", os.TempDir(), "`directory` for lock files")
	flag.Parse()
	b.peers = peers(b.dir, *amqprun, *minimal, *etcd)

	fmt.Printf("%s; %s.\n", machine(), *versions)
	for _, measure := range []func() error{
		func() error { return b.uncontended(*rounds) },
		func() error { return b.handOver(*handovers) },
		b.idle,
	} {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

func machine() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	model := "unknown processor"
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpus)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%d cores (%s), %s %s, load %s at the start; %s",
		runtime.NumCPU(), model, runtime.GOOS, strings.TrimSpace(string(release)), strings.Join(strings.Fields(string(load))[:1], ""),
		runtime.Version())
}

// peer is one way to run a command under a lock.
type peer struct {
	name  string
	argv  func(lock string, command ...string) []string
	waits bool // it is measured with waiters too
}

func peers(dir, amqprun, minimal, etcd string) []peer {
	with := func(before ...string) func(string, ...string) []string {
		return func(lock string, command ...string) []string {
			argv := append([]string{}, before...)
			for i := range argv {
				argv[i] = strings.ReplaceAll(argv[i], "LOCK", lock)
			}
			return append(argv, command...)
		}
	}
	list := []peer{
		{"flock", with("flock", filepath.Join(dir, "LOCK")), true},
		{"minimal", with(minimal, "LOCK"), false},
		{"amqprun --mutex", with(amqprun, "--mutex", "LOCK", "--"), true},
		{"amqprun --semaphore", with(amqprun, "--semaphore", "LOCK-slots", "--slots", "1", "--"), false},
	}
	if etcd != "" {
		list = append(list, peer{"etcdctl lock", with("etcdctl", "--endpoints", etcd, "lock", "LOCK", "--"), true})
	}
	return list
}
