package main

import (
	"bufio"
	"cmp"
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
	// settle is the time for 20 waiters to start and to join the wait queue.
	settle = 2 * time.Second
	// holdMS is how long each command holds the lock: long enough for what a program
	// prepares while it holds one.
	holdMS = 10
)

// handOver measures from the end of one command to the start of the next.
func (b *bench) handOver() (*table, error) {
	peers := slices.DeleteFunc(slices.Clone(b.peers), func(p peer) bool { return !p.waits })
	peers = append(peers, peer{name: "minimal -line", argv: with(b.minimal, "-line", "LOCK")})
	gaps := make(map[string][]time.Duration)
	for n := range b.handovers {
		for _, p := range peers {
			ran, err := b.queue(p, fmt.Sprintf("queue-%d", n))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			gaps[p.name] = append(gaps[p.name], gapsOf(ran)...)
		}
	}
	t := newTable(fmt.Sprintf("%d interleaved queues of %d waiters, %d ms under the lock each.",
		b.handovers, waiters, holdMS),
		"end of a command to start of the next, median ms (/ minimal -line)", "")
	for _, p := range peers {
		own := gaps[p.name]
		t.add(p.name, pair(ms(median(own)), ratio(median(own), median(gaps["minimal -line"]))))
		t.point(p.name, own)
	}
	return t, nil
}

// queue lets all waiters line up behind a holder, then lets go, and returns when the
// commands of the waiters ran.
func (b *bench) queue(p peer, lock string) (_ []ran, err error) {
	first, err := b.hold(p, lock)
	if err != nil {
		return nil, err
	}
	q := b.newQueue(p, lock)
	// On each return, or they would outlive us.
	defer func() { err = errors.Join(err, first.letGo(), q.wait()) }()
	for range waiters {
		if err := q.start(); err != nil {
			return nil, err
		}
	}
	<-time.After(settle)
	if err := first.letGo(); err != nil {
		return nil, err
	}
	return q.finish()
}

// queue is waiters for one lock, whose commands write down when they run.
type queue struct {
	argv   []string // without the label
	stamps string
	began  int
	left   []*exec.Cmd // to be waited for
}

func (b *bench) newQueue(p peer, lock string) *queue {
	stamps := filepath.Join(b.dir, lock+".stamps")
	return &queue{argv: p.argv(lock, b.stamp, stamps, fmt.Sprint(holdMS)), stamps: stamps}
}

// start begins one more waiter; its label is its number.
func (q *queue) start() error {
	c := exec.Command(q.argv[0], append(q.argv[1:len(q.argv):len(q.argv)], fmt.Sprint(q.began))...)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return err
	}
	q.began++
	q.left = append(q.left, c)
	return nil
}

func (q *queue) wait() error {
	left := q.left
	q.left = nil
	return reap(left...)
}

// finish waits for all and returns what they did, in the order of time.
func (q *queue) finish() ([]ran, error) {
	if err := q.wait(); err != nil {
		return nil, err
	}
	return readRuns(q.stamps, q.began)
}

// holder is a command under a lock that ends when it is let go.
type holder struct {
	*exec.Cmd
	fifo *os.File
}

// hold returns when the command runs. It reads from a FIFO until letGo closes our end:
// etcdctl has no standard input for its command.
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
	limit := time.AfterFunc(patience, func() { _ = h.Process.Kill() })
	defer limit.Stop()
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
	return errors.Join(h.fifo.Close(), reap(h.Cmd))
}

// ran is a command's label, and when it ran.
type ran struct {
	label      string
	begin, end time.Duration
}

// readRuns reads what n times test/bench/stamp wrote. Commands that overlap are an error:
// then nothing was locked.
func readRuns(stamps string, n int) ([]ran, error) {
	file, err := os.Open(stamps)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	defer os.Remove(stamps)
	var runs []ran
	for {
		var run ran
		if _, err := fmt.Fscan(file, &run.label, &run.begin, &run.end); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	if len(runs) != n {
		return nil, fmt.Errorf("%d of %d commands have run", len(runs), n)
	}
	slices.SortFunc(runs, func(a, b ran) int { return cmp.Compare(a.begin, b.begin) })
	for i := 1; i < len(runs); i++ {
		if runs[i].begin < runs[i-1].end {
			return nil, fmt.Errorf("two commands ran at the same time, for %v",
				runs[i-1].end-runs[i].begin)
		}
	}
	return runs, nil
}

// gapsOf are the times between the end of one and the start of the next.
func gapsOf(runs []ran) (gaps []time.Duration) {
	for i := 1; i < len(runs); i++ {
		gaps = append(gaps, runs[i].begin-runs[i-1].end)
	}
	return gaps
}
