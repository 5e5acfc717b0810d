package main

import (
	"io"
	"os"
	"path/filepath"
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

// points leaves values for gnuplot, a line each.
func (b *bench) points(name string, lines []string) error {
	return os.WriteFile(filepath.Join(b.dir, name+".dat"), []byte(strings.Join(lines, "\n")+"\n"),
		0o600)
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
