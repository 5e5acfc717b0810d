package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// Plan is one schedule: who wants the lock, for how long, and what breaks meanwhile. All
// of it is drawn from a seed.
type Plan struct {
	Seed        uint64
	Release     broker.Release
	Ref         wire.Ref
	Slots       int  // of a semaphore
	Prepared    bool // it exists at the beginning
	Reserved    bool // all parties leave the lock of a paused one alone
	Heartbeat   time.Duration
	Stop        time.Duration // that a command may take to stop
	Base        time.Duration // of the latency
	QuorumDelay time.Duration // of quorum queues, see broker.QuorumDelay
	Nodes       int           // of a cluster
	Parties     []Party
	Faults      []Fault
}

// Party is one contender, which wants the lock several times.
type Party struct {
	Begin    time.Duration
	Rounds   []Round
	Count    int // or locker.All
	Greedy   bool
	Priority int
	Visible  bool // it answers questions about itself
	Elastic  bool
	Fence    bool
	History  bool
	Pause    bool // it takes a lost lock again, before it goes on
}

// Round is one time that a party wants the lock.
type Round struct {
	Think, Work time.Duration
	Patience    time.Duration // 0: for ever
	Stop        time.Duration // that its command takes to stop, at most Plan.Stop
}

// Fault is something that breaks, and is mended Lasts later.
type Fault struct {
	Name   string
	At     time.Duration
	Lasts  time.Duration
	Target uint64 // which of those that there are then
}

// end is when the last fault is over.
func (p *Plan) end() (end time.Duration) {
	for _, f := range p.Faults {
		end = max(end, f.At+f.Lasts)
	}
	return end
}

// only reports whether nothing else breaks.
func (p *Plan) only(name string) bool {
	return !slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.Name != name })
}

// has reports whether the plan has a fault of that name, or with "none" no fault.
func (p *Plan) has(name string) bool {
	return name == "" || name == "none" && len(p.Faults) == 0 ||
		slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.Name == name })
}

// resized reports whether an administrator changes the number of slots.
func (p *Plan) resized() bool { return p.has("resize") || p.has("drain") }

// ranked reports whether a party has a priority.
func (p *Plan) ranked() bool {
	return slices.ContainsFunc(p.Parties, func(q Party) bool { return q.Priority != 0 })
}

// lease is how long a proof is good for.
func (p *Plan) lease() time.Duration { return 2*p.Heartbeat - p.Heartbeat/10 }

// slowest is the most that the network takes.
func (p *Plan) slowest() time.Duration {
	d := 2 * p.Base
	for _, f := range p.Faults {
		if f.Name == "slow" {
			d += slowest
		}
	}
	return d
}

// slowest is the most by which a fault makes the network slower.
const slowest = 3 * time.Second

// String describes the plan for somebody who looks for the cause of a violation.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: RabbitMQ %s on %d nodes, %s, %d slots (prepared %t), latency %s\n",
		p.Seed, p.Release, p.Nodes, p.Ref, p.Slots, p.Prepared, p.Base)
	for i, q := range p.Parties {
		fmt.Fprintf(&b, "party %d: %+v\n", i, q)
	}
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "at %s for %s: %s\n", f.At, f.Lasts, f.Name)
	}
	return b.String()
}

// party is a contender of a plan, with its number there.
type party struct {
	*Party
	number int
}

func (q *party) String() string {
	if q == nil {
		return "nobody"
	}
	return fmt.Sprintf("party %d", q.number)
}
