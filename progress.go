package main

import (
	"context"
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
	by    string // who holds the lock, as far as they tell
}

// askEvery is how often the line on a terminal asks who holds the lock: by a connection of its own, since a waiter that shall cost nothing has none
// for that.
const askEvery = 10 * time.Second

// waiting is for amqplock.Config.OnWaiting.
func (p *progress) waiting(w amqplock.Waiting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = w
	if p.stop == nil && p.o.progress > 0 && !p.o.quiet {
		stop := make(chan struct{})
		p.stop = stop
		p.told.Go(func() { p.tell(stop) })
		if canRedraw() {
			p.told.Go(func() { p.ask(stop) })
		}
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
		known, by := p.known, p.by
		p.mu.Unlock()
		waited := time.Since(messages.since).Round(time.Second)
		lock, broker := fmt.Sprintf("%s %q", p.o.lock.Kind, p.o.lock.Name), strings.Join(p.o.lock.Names(), ", ")
		switch {
		case !live && writable(0):
			say(message{Level: levelInfo, Msg: fmt.Sprintf("waiting for %s on %s for %s: %s", lock, broker, waited, place(known))})
		case live:
			showLive(fmt.Sprintf("amqprun: waiting for %s (%s) for %s%s on %s", waited, place(known), lock, by, broker))
		}
	}
}

// ask keeps p.by up to date.
func (p *progress) ask(stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for pause := redraw / 2; ; pause = askEvery {
		select {
		case <-time.After(pause):
		case <-stop:
			return
		}
		lock := p.o.lock
		lock.Logf, lock.Warnf = nil, nil
		client, err := lock.client()
		if err != nil {
			return
		}
		holders, _ := client.Holders(ctx, lock.Ref) // who cannot be asked is not told of
		p.mu.Lock()
		p.by = heldBy(holders)
		p.mu.Unlock()
	}
}

// heldBy names the first holder, and how many more there are.
func heldBy(holders []amqplock.Participant) string {
	if len(holders) == 0 {
		return ""
	}
	by := fmt.Sprintf(", held by %s@%s", holders[0].User, holders[0].Host)
	if holders[0].Command != "" {
		by += ": " + holders[0].Command
	}
	if len(holders) > 1 {
		by += fmt.Sprintf(" and %d more", len(holders)-1)
	}
	return by
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
