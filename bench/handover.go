package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	waiters = 20
	// settle is what 20 waiters get to start and to stand in the line.
	settle = 2 * time.Second
	// holdMS is how long each command holds the lock: long enough for what a program prepares while it holds one.
	holdMS = 10
)

// handOver measures from the end of one command to the start of the next.
func (b *bench) handOver(rounds int) error {
	gaps := make(map[string][]time.Duration)
	for n := range rounds {
		for _, p := range b.peers {
			if !p.waits {
				continue
			}
			found, err := b.queue(p, fmt.Sprintf("queue-%d", n))
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			gaps[p.name] = append(gaps[p.name], found...)
		}
	}
	t := newTable(fmt.Sprintf("end of a command to start of the next, %d waiters", waiters), "median ms", "p10", "p90", "max", "/ flock")
	for _, p := range b.peers {
		if sorted := slices.Sorted(slices.Values(gaps[p.name])); p.waits {
			t.add(p.name, ms(quantile(sorted, 0.5)), ms(quantile(sorted, 0.1)), ms(quantile(sorted, 0.9)), ms(sorted[len(sorted)-1]),
				ratio(quantile(sorted, 0.5), median(gaps["flock"])))
		}
	}
	t.print(fmt.Sprintf("Hand-over, %d interleaved queues, %d ms under the lock each.", rounds, holdMS))
	return nil
}

// queue lets all waiters line up behind a holder, then lets go, and returns the gaps between the commands of the waiters.
func (b *bench) queue(p peer, lock string) (_ []time.Duration, err error) {
	stamps := filepath.Join(b.dir, "stamps")
	defer os.Remove(stamps)
	first, err := b.hold(p, lock)
	if err != nil {
		return nil, err
	}
	queue := make([]*exec.Cmd, 0, waiters)
	defer func() { // on each return, or they would outlive us
		err = errors.Join(err, first.letGo())
		for _, c := range queue {
			err = errors.Join(err, c.Wait())
		}
	}()
	argv := p.argv(lock, b.stamp, stamps, fmt.Sprint(holdMS))
	for range waiters {
		c := exec.Command(argv[0], argv[1:]...)
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			return nil, err
		}
		queue = append(queue, c)
	}
	<-time.After(settle)
	if err := first.letGo(); err != nil {
		return nil, err
	}
	for len(queue) > 0 {
		c := queue[0]
		queue = queue[1:]
		if err := c.Wait(); err != nil {
			return nil, err
		}
	}
	return readGaps(stamps)
}

// holder is a command under a lock that ends when it is let go.
type holder struct {
	*exec.Cmd
	fifo *os.File
}

// hold returns when the command runs. It reads from a FIFO until letGo closes our end: etcdctl has no standard input for its command.
func (b *bench) hold(p peer, lock string) (*holder, error) {
	fifo := filepath.Join(b.dir, lock+".fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		return nil, err
	}
	defer os.Remove(fifo) // it is open by then, or not needed
	argv := p.argv(lock, "sh", "-c", `exec <"$1" && echo && exec cat`, "sh", fifo)
	h := &holder{Cmd: exec.Command(argv[0], argv[1:]...)}
	h.Stderr = os.Stderr
	stdout, err := h.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if h.fifo, err = os.OpenFile(fifo, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if err := h.Start(); err != nil {
		return nil, errors.Join(err, h.fifo.Close())
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("the holder has not started: %w", err), h.letGo())
	}
	return h, nil
}

// letGo returns when the lock is free; it may be called again.
func (h *holder) letGo() error {
	if h.ProcessState != nil {
		return nil
	}
	return errors.Join(h.fifo.Close(), h.Wait())
}

// readGaps reads what bench/stamp wrote. Commands that overlap are an error: then nothing was locked.
func readGaps(stamps string) ([]time.Duration, error) {
	file, err := os.Open(stamps)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var ran [][2]time.Duration
	for {
		var run [2]time.Duration
		if _, err := fmt.Fscan(file, &run[0], &run[1]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		ran = append(ran, run)
	}
	if len(ran) != waiters {
		return nil, fmt.Errorf("%d of %d commands have run", len(ran), waiters)
	}
	slices.SortFunc(ran, func(a, b [2]time.Duration) int { return int(a[0] - b[0]) })
	gaps := make([]time.Duration, 0, waiters-1)
	for i := 1; i < len(ran); i++ {
		gap := ran[i][0] - ran[i-1][1]
		if gap < 0 {
			return nil, fmt.Errorf("two commands ran at the same time, for %v", -gap)
		}
		gaps = append(gaps, gap)
	}
	return gaps, nil
}
