package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/test/program"
)

// crowd is many processes that want slots of one semaphore. Each command says "+ SLOT",
// waits until it is let go, and says "- SLOT".
type crowd struct {
	all    []*exec.Cmd
	began  time.Time
	tokens *os.File    // the commands each read a byte from here, and end
	pipe   *os.File    // what the commands say
	events chan string // the same
	held   map[string]bool
	starts []time.Duration // of the commands, since began
}

const crowdCommand = `echo "+ $AMQPRUN_SLOT" && head -c 1 "$1" >/dev/null && echo "- $AMQPRUN_SLOT"`

// wantSlot makes a process that wants a slot of the semaphore.
func (ps *programs) wantSlot(semaphore string) func(i int, command ...string) *exec.Cmd {
	return func(_ int, command ...string) *exec.Cmd {
		argv := append([]string{"--connect-timeout", "1m", "--progress", "0",
			"--semaphore", semaphore, "--"}, command...)
		return exec.Command(ps.amqprun, argv...)
	}
}

// wantOwn makes a process of minimal, which has a lock of its own. It asks what amqprun
// asks for a slot.
func (ps *programs) wantOwn(name string) func(i int, command ...string) *exec.Cmd {
	return func(i int, command ...string) *exec.Cmd {
		lock := fmt.Sprintf("%s-%d", name, i)
		argv := append([]string{"-checked", "-slot", lock}, command...)
		p := exec.Command(ps.minimal, argv...)
		p.Env = append(os.Environ(), fmt.Sprintf("AMQPRUN_SLOT=%d", i))
		return p
	}
}

// gather starts n processes as fast as it can.
func (ps *programs) gather(
	name string, n int, process func(i int, command ...string) *exec.Cmd,
) (_ *crowd, err error) {
	fifo := filepath.Join(ps.dir, name+".fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		return nil, err
	}
	c := &crowd{events: make(chan string, 2*n), held: map[string]bool{}}
	if c.tokens, err = os.OpenFile(fifo, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	var said *os.File
	if said, c.pipe, err = os.Pipe(); err != nil {
		return nil, err
	}
	go func() {
		for lines := bufio.NewScanner(said); lines.Scan(); {
			c.events <- lines.Text()
		}
		close(c.events)
		_ = said.Close()
	}()
	c.began = time.Now()
	for i := range n {
		p := process(i, "sh", "-c", crowdCommand, "sh", fifo)
		p.Stdout, p.Stderr = c.pipe, os.Stderr
		if err := p.Start(); err != nil {
			c.disperse()
			return nil, err
		}
		c.all = append(c.all, p)
	}
	return c, nil
}

// await takes in what the commands say until n more of them have begun (sign "+") or
// ended ("-"). A slot that is given twice is an error.
func (c *crowd) await(n int, sign string) error {
	timeout := time.After(patience)
	for n > 0 {
		select {
		case event := <-c.events:
			what, slot, _ := strings.Cut(event, " ")
			if c.held[slot] == (what == "+") {
				return fmt.Errorf("slot %q: %q while held is %t", slot, what, c.held[slot])
			}
			if c.held[slot] = what == "+"; c.held[slot] {
				c.starts = append(c.starts, time.Since(c.began))
			}
			if what == sign {
				n--
			}
		case <-timeout:
			return fmt.Errorf("%d commands have not said %q", n, sign)
		}
	}
	return nil
}

// cpuTime is that of all processes, with their guards and without the commands.
func (c *crowd) cpuTime() (total time.Duration, failed error) {
	for _, p := range c.all {
		own, err := cpuTime(p.Process.Pid)
		total, failed = total+own, errors.Join(failed, err)
		if guard := program.GuardOf(p.Process.Pid); guard != 0 {
			own, err := cpuTime(guard)
			total, failed = total+own, errors.Join(failed, err)
		}
	}
	return total, failed
}

// letGo ends n commands.
func (c *crowd) letGo(n int) error {
	_, err := c.tokens.Write(make([]byte, n))
	return err
}

// leave waits for all processes; each of them must have succeeded.
func (c *crowd) leave() error {
	failed := reap(c.all...)
	c.all = nil
	return errors.Join(failed, c.tokens.Close(), os.Remove(c.tokens.Name()), c.pipe.Close())
}

// disperse is for a crowd that something has gone wrong with.
func (c *crowd) disperse() {
	for _, p := range c.all {
		_ = p.Process.Signal(syscall.SIGTERM)
	}
	_ = c.leave()
}
