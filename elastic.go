package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// slotsFile tells the command which slots an elastic set holds: in a file that is replaced at each change, and by a SIGHUP after it. It is nil, and
// all methods do nothing, for a lock that is not elastic.
type slotsFile struct {
	dir     string
	writing sync.Mutex // only one list is written at a time, and what comes later is newer
	warnf   func(string, ...any)
	changed chan struct{} // holds one: changes that follow closely are one SIGHUP
	done    chan struct{}
}

const slotsFileVariable = "AMQPRUN_SLOTS_FILE"

func newSlotsFile(o *options) (*slotsFile, error) {
	if !o.lock.Elastic {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "amqprun-")
	if err != nil {
		return nil, fmt.Errorf("make a place for the list of slots: %w", err)
	}
	return &slotsFile{dir: dir, warnf: o.warnf, changed: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

func (f *slotsFile) path() string { return filepath.Join(f.dir, "slots") }

// variables writes the file for the first time and returns what the command's environment says of it. The set may be changing already.
func (f *slotsFile) variables(slots func() []int) []string {
	if f == nil {
		return nil
	}
	f.write(slots)
	return []string{slotsFileVariable + "=" + f.path()}
}

// write replaces the file in one step, so that the command never reads half a list.
func (f *slotsFile) write(slots func() []int) {
	f.writing.Lock()
	defer f.writing.Unlock()
	next := f.path() + ".next"
	err := os.WriteFile(next, []byte(slotWords(slots())+"\n"), 0o600)
	if err == nil {
		err = os.Rename(next, f.path())
	}
	if err != nil {
		f.warnf("the command cannot be told which slots are held: %v", err)
	}
}

func (f *slotsFile) change(slots []int) {
	if f == nil {
		return
	}
	f.write(func() []int { return slots })
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// signals are sigs, and a SIGHUP after each change, until close.
func (f *slotsFile) signals(sigs <-chan os.Signal) <-chan os.Signal {
	if f == nil {
		return sigs
	}
	both := make(chan os.Signal)
	go func() {
		for {
			var s os.Signal
			select {
			case s = <-sigs:
			case <-f.changed:
				s = syscall.SIGHUP
			case <-f.done:
				return
			}
			select {
			case both <- s:
			case <-f.done:
				return
			}
		}
	}()
	return both
}

func (f *slotsFile) close() {
	if f == nil {
		return
	}
	close(f.done)
	_ = os.RemoveAll(f.dir)
}
