package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
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

// Draw makes the plan of a seed.
func Draw(seed uint64) *Plan {
	dice := rand.New(rand.NewPCG(seed, 1))
	p := &Plan{Seed: seed, Ref: wire.Ref{Kind: wire.Mutex, Name: "m"}}
	p.Release = pick(dice, broker.V310, broker.V40, broker.V43)
	p.Heartbeat = 10 * time.Second
	p.Stop = 5 * time.Second
	p.Base = pick(dice, 50*time.Microsecond, 500*time.Microsecond, 5*time.Millisecond,
		50*time.Millisecond)
	p.QuorumDelay = pick(dice, 0, 0, 0, 30*time.Millisecond)
	p.Nodes = pick(dice, 1, 1, 3)
	if dice.IntN(5) < 3 {
		p.Ref = wire.Ref{Kind: wire.Semaphore, Name: "s"}
		p.Slots = 1 + dice.IntN(4)
		p.Prepared = dice.IntN(2) == 0
	}
	p.Reserved = dice.IntN(6) == 0
	for range 2 + dice.IntN(4) {
		q := p.party(dice)
		if p.Reserved {
			q.Count, q.Greedy, q.Elastic, q.Fence = 1, false, false, true
		}
		q.Pause = q.Fence && q.Count == 1 && dice.IntN(4) > 0
		p.Parties = append(p.Parties, q)
	}
	p.Faults = faults(dice, p)
	return p
}

func pick[T any](dice *rand.Rand, all ...T) T { return all[dice.IntN(len(all))] }

// upTo is a time with a value in nanoseconds that nobody else has drawn.
func upTo(dice *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(dice.Int64N(int64(d)) + 1)
}

func (p *Plan) party(dice *rand.Rand) Party {
	q := Party{Begin: upTo(dice, pick(dice, time.Millisecond, time.Second, 10*time.Second))}
	q.Count = 1
	q.Visible = dice.IntN(4) == 0
	if dice.IntN(5) == 0 {
		q.Priority = dice.IntN(5) - 2
		q.Visible = q.Priority != 0 || q.Visible
	}
	if p.Slots > 0 {
		switch dice.IntN(6) {
		case 0, 1:
			q.Count = 1 + dice.IntN(p.Slots)
		case 2:
			q.Greedy, q.Count = true, 0
			q.Elastic = dice.IntN(2) == 0
		case 3:
			q.Count = locker.All
		}
	}
	q.Fence = dice.IntN(8) == 0 && !q.Elastic
	q.History = dice.IntN(8) == 0
	for range 1 + dice.IntN(3) {
		r := Round{
			Think: upTo(dice, pick(dice, 5*time.Millisecond, time.Second, 5*time.Second)),
			Work: upTo(dice, pick(dice, 5*time.Millisecond, 300*time.Millisecond, 4*time.Second,
				30*time.Second)),
			Stop: upTo(dice, p.Stop),
		}
		switch dice.IntN(6) {
		case 0:
			r.Patience = upTo(dice, pick(dice, 100*time.Millisecond, 20*time.Second))
		case 1:
			r.Patience = -1 // not at all
		}
		q.Rounds = append(q.Rounds, r)
	}
	return q
}

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
