package main

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is what is measured, and how often.
type bench struct {
	programs
	peers []peer
	all   bool // measure also what depends on no release of RabbitMQ, and large numbers

	rounds, handovers, crashes, bursts int
	most                               int // waiters and slots where there are many
	idleFor                            time.Duration
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

// others are the programs that only some machines have; empty: none.
type others struct {
	etcd, consul string // endpoints
	python       string // that has pika
}

// choosePeers takes those of RabbitMQ, and with b.all the rest too: one release of
// RabbitMQ is enough for these.
func (b *bench) choosePeers(o others) {
	const all = 1 << 30
	b.peers = []peer{
		{name: "minimal", argv: with(b.minimal, "LOCK")},
		{
			name:    "amqprun --mutex",
			argv:    with(b.amqprun, "--mutex", "LOCK", "--"),
			waits:   true,
			crashes: all,
		},
		{
			name:    "amqprun --semaphore",
			argv:    with(b.amqprun, "--semaphore", "LOCK-slots", "--slots", "1", "--"),
			crashes: all,
		},
	}
	if o.python != "" {
		b.peers = append(b.peers, peer{
			name: "amqp-locks-python", argv: with(o.python, "test/bench/original.py", "LOCK"),
		})
	}
	if !b.all {
		return
	}
	b.peers = append(b.peers, peer{
		name:    "flock",
		argv:    with("flock", filepath.Join(b.dir, "LOCK")),
		waits:   true,
		crashes: all,
		orphans: true,
	})
	if o.etcd != "" {
		// Each crash takes ten seconds.
		etcdctl := with("etcdctl", "--endpoints", o.etcd, "lock", "LOCK", "--")
		b.peers = append(b.peers,
			peer{name: "etcdctl lock", argv: etcdctl, waits: true, crashes: 3, orphans: true})
	}
	if o.consul != "" {
		b.peers = append(b.peers, peer{
			name: "consul lock", waits: true,
			argv: with("consul", "lock", "-http-addr="+o.consul, "-shell=false", "LOCK"),
		})
	}
}

// mutex is amqprun with a mutex.
func (b *bench) mutex() peer {
	return b.peers[slices.IndexFunc(b.peers, func(p peer) bool { return p.name == "amqprun --mutex" })]
}
