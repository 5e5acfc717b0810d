package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// defaultProgress is short enough for CI systems that end a step which says nothing.
const defaultProgress = 30 * time.Second

// redraw is how often the line on a terminal is drawn, and so how long amqprun waits before it shows one at all.
const redraw = time.Second

// progress tells that amqprun waits for the lock: on a terminal by one line that is drawn again and again and leaves nothing behind, elsewhere by a
// line now and then. It says nothing before it has waited for a while.
type progress struct {
	o     *options
	mu    sync.Mutex
	known amqplock.Waiting
	stop  chan struct{} // nil: not waiting
	told  sync.WaitGroup
}

// waiting is for amqplock.Config.OnWaiting.
func (p *progress) waiting(w amqplock.Waiting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = w
	if p.stop == nil && p.o.progress > 0 && !p.o.quiet {
		stop := make(chan struct{})
		p.stop = stop
		p.told.Go(func() { p.tell(stop) })
	}
}

// end erases the line on the terminal. It returns when nothing more will be told.
func (p *progress) end() {
	p.mu.Lock()
	stop := p.stop
	p.stop = nil
	p.mu.Unlock()
	if stop != nil {
		close(stop)
		p.told.Wait()
		showLive("")
	}
}

func (p *progress) tell(stop <-chan struct{}) {
	every, live := p.o.progress, canRedraw()
	if live {
		every = redraw
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		known := p.known
		p.mu.Unlock()
		waited := time.Since(messages.since).Round(time.Second)
		lock := fmt.Sprintf("%s %q on %s", p.o.lock.Kind, p.o.lock.Name, strings.Join(p.o.lock.Names(), ", "))
		switch {
		case !live && writable():
			say(message{Level: levelInfo, Msg: fmt.Sprintf("waiting for %s for %s: %s", lock, waited, place(known))})
		case live:
			showLive(fmt.Sprintf("amqprun: waiting for %s (%s) for %s", waited, place(known), lock))
		}
	}
}

// place says where a waiter stands, and what is unusual.
func place(w amqplock.Waiting) string {
	at := "next in line"
	switch {
	case w.Ahead > 0:
		at = fmt.Sprintf("%d ahead", w.Ahead)
	case w.Ahead < 0 && w.Why != "":
		return w.Why
	case w.Ahead < 0:
		return "it is held by others"
	}
	if w.Why != "" {
		return w.Why + "; " + at
	}
	return at
}
