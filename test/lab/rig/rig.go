// Package rig runs amqprun with a canary under it and measures what becomes of both. The
// laboratory's tests share it.
package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amqprun/amqprun/internal/sys"

	"github.com/amqprun/amqprun/test/program"
)

// The timings of all contenders: as small as amqprun takes them, so that a fault of ten
// heartbeats lasts 20 seconds.
const (
	Heartbeat = 2 * time.Second // T
	Grace     = 500 * time.Millisecond
	Lease     = 2 * Heartbeat // from the last proof
)

// Slack is what a loaded machine may be late by.
const Slack = 500 * time.Millisecond

// Patience bounds every wait for something that must happen.
const Patience = 90 * time.Second

var amqprun, holder, canary string

// Main builds the programs and runs the tests. Without AMQPRUN_LAB they are skipped,
// because they take minutes and break brokers.
func Main(m *testing.M) int {
	if os.Getenv("AMQPRUN_LAB") == "" {
		fmt.Println("skipped: these tests are run by make test-faults and make test-cluster")
		return 0
	}
	return program.Clean(func() int {
		if err := buildAll(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	})
}

func buildAll() (err error) {
	if amqprun, err = program.Build("amqprun", "."); err != nil {
		return err
	}
	if canary, err = program.Build("canary", "test/lab/canary"); err != nil {
		return err
	}
	if holder = amqprun; weak == "" {
		return nil
	}
	root, err := program.Root()
	if err != nil {
		return err
	}
	changes, err := weakened()
	if err != nil {
		return err
	}
	holder, err = buildWith(root, "amqprun-weak", changes...)
	return err
}

// buildWith builds amqprun with changes of its source.
func buildWith(root, name string, changes ...change) (string, error) {
	file, err := overlay(root, filepath.Dir(amqprun), name, changes...)
	if err != nil {
		return "", err
	}
	return program.Build(name, ".", "-overlay="+file)
}

// Now is CLOCK_BOOTTIME, the clock of the canaries and of the leases.
func Now() time.Duration { return sys.Boottime() }

// WaitFor polls until ok, and fails the test after patience.
func WaitFor(t *testing.T, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in %s: %s", patience, what)
		}
	}
}

// Pass waits for a time to pass in which nothing is to happen but what has been started.
func Pass(d time.Duration) { <-time.After(d) }

var results sync.Mutex

// Figure records a measurement: in the test's log, and in the file AMQPRUN_LAB_RESULTS if
// that is set.
func Figure(t *testing.T, name string, d time.Duration) {
	t.Helper()
	t.Logf("%s: %.3f s", name, d.Seconds())
	file := os.Getenv("AMQPRUN_LAB_RESULTS")
	if file == "" {
		return
	}
	results.Lock()
	defer results.Unlock()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s\t%s\t%s\t%.3f\n",
		strings.TrimSpace(os.Getenv("AMQPRUN_LAB_VERSION")+" "+os.Getenv("AMQPRUN_LAB_MODE")),
		t.Name(), name, d.Seconds()); err != nil {
		t.Error(err)
	}
}
