package broker

import (
	"math/rand/v2"
	"sync"
	"time"
)

// path is the network between a client and the broker, as far as faults have changed it.
type path struct {
	mu    sync.Mutex
	lost  bool      // nothing arrives any more, in either direction
	deaf  bool      // nothing arrives from the broker any more
	held  time.Time // Nothing arrives from the broker before.
	stuck time.Time // Nothing arrives at the broker before.
}

// Lose has the network swallow everything from now on, without a word to either side.
func (p *path) Lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = true
}

// Hold has the client get nothing until then: its process is stopped, or the network
// sends everything again. stuck says that the broker gets nothing either.
func (p *path) Hold(until time.Time, stuck bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.held) {
		p.held = until
	}
	if stuck && until.After(p.stuck) {
		p.stuck = until
	}
}

// Deafen has the network swallow what comes from the broker.
func (p *path) Deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

// IsDeaf reports whether the client may not have heard what the broker has sent since
// then, or heard it late.
func (p *path) IsDeaf(since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost || p.deaf || since.Before(p.held)
}

// toBroker reports whether anything arrives at the broker, and from when on.
func (p *path) toBroker() (open bool, from time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.lost, p.stuck
}

// fromBroker reports whether anything arrives from the broker, and from when on.
func (p *path) fromBroker() (open bool, from time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.lost && !p.deaf, p.held
}

// Latency draws how long the network takes for one write.
type Latency func(*rand.Rand) time.Duration

// transit is one direction of the network, which keeps the order.
type transit struct {
	latency Latency
	dice    *rand.Rand
	last    time.Time // when what was sent last arrives
}

// arrival is when what is sent now arrives.
func (t *transit) arrival() time.Time {
	at := time.Now().Add(t.latency(t.dice))
	if !at.After(t.last) {
		at = t.last.Add(1)
	}
	t.last = at
	return at
}
