package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/amqprun/amqprun/test/program"
)

var machines atomic.Int32

// Machine is a virtual machine with clocks of its own, on the network of this one, and
// with its files. It is a Contender for its messages and its exit status.
type Machine struct {
	*Contender
	// Network is the name of the interface that leads to it.
	Network string
}

// StartMachine starts one that runs a command. The command has LAB_AMQPRUN, LAB_TIMINGS
// for that, LAB_CANARY, LAB_LOCK, which is the lock's name, and LAB_FOLDER, which is
// l.Dir. While the file asleep is in that folder the machine may suspend itself.
func (l *Lock) StartMachine(id string, command ...string) *Machine {
	l.t.Helper()
	root, err := program.Root()
	if err != nil {
		l.t.Fatal(err)
	}
	number := machines.Add(1)
	args := append([]string{
		"LAB_AMQPRUN=" + holder, "LAB_TIMINGS=" + strings.Join(timings(), " "), "LAB_CANARY=" + canary,
		"LAB_LOCK=" + l.name, "LAB_FOLDER=" + l.Dir,
		filepath.Join(root, "scripts", "lab-vm"), "--memory", "512M",
		"--network", fmt.Sprint(number), "--asleep", l.asleep(),
	}, command...)
	url := fmt.Sprintf("amqp://guest:guest@10.98.%d.1:5672/", number)
	return &Machine{l.start(id, url, "env", args...), fmt.Sprint("lab", number)}
}

func (l *Lock) asleep() string { return filepath.Join(l.Dir, "asleep") }

// Sleep lets the machine suspend itself, and returns when its command says that it does.
func (m *Machine) Sleep() {
	m.lock.t.Helper()
	if err := os.WriteFile(m.lock.asleep(), nil, 0o600); err != nil {
		m.lock.t.Fatal(err)
	}
	m.AwaitMessage("^suspending$")
}

// Wake wakes the machine.
func (m *Machine) Wake() {
	m.lock.t.Helper()
	if err := os.Remove(m.lock.asleep()); err != nil {
		m.lock.t.Fatal(err)
	}
}
