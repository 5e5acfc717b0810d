package sim

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

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

// profiles are what breaks together. Rare faults alone show what belongs to them.
var profiles = [][]string{
	nil,
	{"alarm"},
	{"kill", "crash"},
	{"lose", "cut", "deafen"},
	{"deafen"},
	{"reset"},
	{"lose", "reset", "cut", "slow"},
	{"stall", "lose"},
	{"stop", "restart", "kill"},
	{"vanish"},
	{"by name"},
	{"by name", "kill"},
	{"resize", "drain"},
	{"resize", "kill", "reset"},
	{"split"},
	{"split", "kill", "reset", "slow"},
	{"alarm", "kill", "lose", "reset", "stall", "slow"},
}

func faults(dice *rand.Rand, p *Plan) (all []Fault) {
	profile := profiles[dice.IntN(len(profiles))]
	if len(profile) == 0 {
		return nil
	}
	early := pick(dice, 100*time.Millisecond, 3*time.Second, 40*time.Second)
	n := 1 + dice.IntN(4)
	if profile[0] == "vanish" {
		n += dice.IntN(8)
	}
	for range n {
		f := Fault{
			Name: pick(dice, profile...), At: upTo(dice, early), Target: dice.Uint64(),
			Lasts: upTo(dice, pick(dice, 100*time.Millisecond, 5*time.Second, 30*time.Second)),
		}
		if f.Name == "split" { // long enough for the other side to notice
			f.Lasts *= 4
		}
		if dice.IntN(2) == 0 { // when somebody has just begun
			q := pick(dice, p.Parties...)
			f.At = q.Begin + q.Rounds[0].Think + upTo(dice, 100*p.Base)
		}
		all = append(all, f)
	}
	if dice.IntN(5) == 0 {
		all = append(all, pause(dice, p))
	}
	return apart(all, p)
}

// pause is for one party, early in its first round or later.
func pause(dice *rand.Rand, p *Plan) Fault {
	f := Fault{Name: pick(dice, "hang", "freeze"), Target: dice.Uint64()}
	f.Lasts = upTo(dice, pick(dice, 100*time.Millisecond, 15*time.Second, time.Minute))
	q := p.Parties[f.Target%uint64(len(p.Parties))]
	f.At = q.Begin + q.Rounds[0].Think +
		upTo(dice, pick(dice, 100*p.Base, time.Second, 20*time.Second))
	return f
}

// apart has splits follow one another: a cluster has two sides.
func apart(all []Fault, p *Plan) []Fault {
	slices.SortFunc(all, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	free := time.Duration(0)
	for i, f := range all {
		if f.Name != "split" && f.Name != "stall" {
			continue
		}
		if f.Name == "split" && p.Nodes < 3 {
			all[i].Name = "stall"
		}
		all[i].At = max(f.At, free)
		free = all[i].At + f.Lasts + 1
	}
	return all
}
