package broker

import (
	"container/heap"
	"sync"
	"time"
)

// loop runs functions at given instants, one after the other, in the order of their
// instants. All state of the broker belongs to its goroutine.
type loop struct {
	wake chan struct{}
	done chan struct{}

	mu     sync.Mutex
	events events
	seq    uint64
	closed bool
}

type event struct {
	at  time.Time
	seq uint64
	run func()
}

func newLoop() *loop {
	l := &loop{wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l
}

// at has f run at an instant, or now if that has passed. It may be called by any
// goroutine.
func (l *loop) at(at time.Time, f func()) {
	l.mu.Lock()
	l.seq++
	heap.Push(&l.events, event{at, l.seq, f})
	first := l.events[0].seq == l.seq
	l.mu.Unlock()
	if first {
		l.signal()
	}
}

func (l *loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// do runs f in the loop and returns when that is done, or at once when the loop has
// ended.
func (l *loop) do(f func()) {
	done := make(chan struct{})
	l.at(time.Now(), func() {
		f()
		close(done)
	})
	select {
	case <-done:
	case <-l.done:
	}
}

// close ends the loop. The events that are left do not happen.
func (l *loop) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
	<-l.done
}

func (l *loop) run() {
	defer close(l.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		f, wait := l.next(time.Now())
		if wait < 0 {
			return
		}
		if f != nil {
			f()
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-l.wake:
		}
	}
}

// next is what is due, or how long to wait for it; less than 0 at the end.
func (l *loop) next(now time.Time) (f func(), wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, -1
	case len(l.events) == 0:
		return nil, time.Hour
	}
	if wait = l.events[0].at.Sub(now); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&l.events).(event).run, 0
}

// events is a heap.
type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }

func (e events) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].seq < e[j].seq
}

func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}
