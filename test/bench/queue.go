package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// queue lets all waiters line up behind a holder, then lets go, and returns when the
// commands of the waiters ran.
func (ps *programs) queue(p peer, lock string) (_ []ran, err error) {
	first, err := ps.hold(p, lock)
	if err != nil {
		return nil, err
	}
	q := ps.newQueue(p, lock)
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

func (ps *programs) newQueue(p peer, lock string) *queue {
	stamps := filepath.Join(ps.dir, lock+".stamps")
	return &queue{argv: p.argv(lock, ps.stamp, stamps, fmt.Sprint(holdMS)), stamps: stamps}
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
