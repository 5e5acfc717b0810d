package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// standing is the time for a waiter to join the wait queue, and for a holder to prepare
// for its death.
const standing = time.Second

// crash measures from the death of a command, whose holder was killed with SIGKILL, to
// the start of the next.
func (b *bench) crash() (*table, error) {
	gaps := make(map[string][]time.Duration)
	for n := range b.crashes {
		for _, p := range b.peers {
			if n >= p.crashes {
				continue
			}
			gap, err := b.crashOnce(p, fmt.Sprintf("crash-%d", n))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			gaps[p.name] = append(gaps[p.name], gap)
		}
	}
	t := newTable(fmt.Sprintf("`kill -9` of the holder, one waiter, %d times.", b.crashes),
		"death of a command to start of the next, median ms (max)", "")
	for _, p := range b.peers {
		if gaps := gaps[p.name]; len(gaps) > 0 {
			t.add(p.name, pair(ms(median(gaps)), ms(slices.Max(gaps))))
			t.point(p.name, gaps)
		}
	}
	return t, nil
}

func (ps *programs) crashOnce(p peer, lock string) (gap time.Duration, err error) {
	pulse, stamps := filepath.Join(ps.dir, lock+".pulse"), filepath.Join(ps.dir, lock+".stamps")
	defer os.Remove(pulse)
	command := []string{ps.stamp, pulse}
	if p.orphans { // then it is the death of the holder that ends it
		command = append([]string{"setpriv", "--pdeathsig", "KILL"}, command...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	start := func(argv []string) (*exec.Cmd, error) {
		c := exec.CommandContext(ctx, argv[0], argv[1:]...)
		c.Stderr = os.Stderr
		return c, c.Start()
	}
	holder, err := start(p.argv(lock, command...))
	if err != nil {
		return 0, err
	}
	defer func() { _, _ = holder.Process.Kill(), holder.Wait() }() // it may have ended before
	for {
		if info, err := os.Stat(pulse); err == nil && info.Size() > 0 {
			break
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return 0, errors.New("the holder has not started")
		}
	}
	next, err := start(p.argv(lock, ps.stamp, stamps, "0", "next"))
	if err != nil {
		return 0, err
	}
	<-time.After(standing)
	if err := holder.Process.Kill(); err != nil {
		return 0, errors.Join(err, next.Process.Kill(), next.Wait())
	}
	if err := next.Wait(); err != nil {
		return 0, err
	}
	runs, err := readRuns(stamps, 1)
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(pulse)
	if err != nil {
		return 0, err
	}
	var last time.Duration
	if _, err := fmt.Sscan(string(text), &last); err != nil {
		return 0, err
	}
	if gap = runs[0].begin - last; gap < 0 {
		return 0, fmt.Errorf("the next command ran for %v beside the dead holder's", -gap)
	}
	return gap, nil
}
