package console

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// redraw is how often the line on a terminal is drawn, and so how long amqprun waits
// before it shows one at all.
const redraw = time.Second

// askEvery is how often the line on a terminal asks who holds the lock. Each time it
// takes a connection of its own: a waiter has none for that, because it is to cost the
// broker nothing.
const askEvery = 10 * time.Second

// OnTerminal is the value of Wait.Every that reports a wait on a terminal only.
const OnTerminal = time.Duration(-1)

// Wait describes a wait for a lock.
type Wait struct {
	Lock   string // as messages name it
	Broker string // one or several, as messages name them
	// Every is the time between two messages, where no line can be redrawn. 0 means no
	// progress.
	Every time.Duration
	// Holders asks who holds the lock. Those who cannot be asked are missing.
	Holders func(context.Context) []amqplock.Participant
}

// Progress shows that amqprun waits for the lock. On a terminal one line is drawn again
// and again and leaves nothing behind; elsewhere a message is printed now and then.
// Nothing is printed before amqprun has waited for a while.
type Progress struct {
	c    *Console
	wait Wait

	mu     sync.Mutex
	known  amqplock.Waiting
	heldBy string
	stop   context.CancelFunc // nil: not waiting
	loops  sync.WaitGroup
}

// NewProgress returns a progress that shows nothing before the first Update.
func (c *Console) NewProgress(wait Wait) *Progress { return &Progress{c: c, wait: wait} }

// Update notes what is known about the wait. It does not block.
func (p *Progress) Update(w amqplock.Waiting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = w
	redraws := p.c.canRedraw()
	if p.stop != nil || p.wait.Every == 0 || p.wait.Every < 0 && !redraws || p.c.Quiet() {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	if redraws {
		p.loops.Go(func() { every(ctx, redraw, p.draw) })
		p.loops.Go(func() { p.askHolders(ctx) })
	} else {
		p.loops.Go(func() { every(ctx, p.wait.Every, p.print) })
	}
}

// End erases the line on the terminal. When it returns nothing more is printed.
func (p *Progress) End() {
	p.mu.Lock()
	stop := p.stop
	p.stop = nil
	p.mu.Unlock()
	if stop != nil {
		stop()
		p.loops.Wait()
		p.c.showLive("")
	}
}

func every(ctx context.Context, pause time.Duration, do func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

func (p *Progress) print() {
	known, _, waited := p.state()
	if writable(0) { // a message that can as well be left out holds nothing up
		p.c.Infof("waiting for %s on %s for %s: %s", p.wait.Lock, p.wait.Broker, waited, Place(known))
	}
}

func (p *Progress) draw() {
	known, heldBy, waited := p.state()
	p.c.showLive(fmt.Sprintf("amqprun: waiting for %s (%s) for %s%s on %s",
		waited, Place(known), p.wait.Lock, heldBy, p.wait.Broker))
}

func (p *Progress) state() (known amqplock.Waiting, heldBy string, waited time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known, p.heldBy, time.Since(p.c.began).Round(time.Second)
}

// askHolders keeps p.heldBy up to date. The first answer is there when the line is first
// drawn.
func (p *Progress) askHolders(ctx context.Context) {
	for pause := redraw / 2; ; pause = askEvery {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		text := heldBy(p.wait.Holders(ctx))
		p.mu.Lock()
		p.heldBy = text
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

// Place says where a waiter stands, and what is unusual.
func Place(w amqplock.Waiting) string {
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
