package sim

import (
	"slices"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// order judges hand-overs of a mutex where nothing breaks and nobody has a priority. The
// waiters are served in their order, and the mutex is not free for long while one waits.
// A newcomer may be faster than all of them.
type order struct {
	free   time.Time // since when the mutex is free; zero: it is held
	places []spot    // in the wait queue
}

// spot is a place that somebody has.
type spot struct {
	party *party
	since time.Time
}

// handOver is how long a mutex may be free that somebody waits for.
const handOver = 500 * time.Millisecond

// strict reports whether the plan is one that order judges. A waiter whose patience ends
// tries once more, whoever is before it.
func (p *Plan) strict() bool {
	for _, q := range p.Parties {
		if slices.ContainsFunc(q.Rounds, func(r Round) bool { return r.Patience > 0 }) {
			return false
		}
	}
	return p.Ref.Kind == wire.Mutex && len(p.Faults) == 0 && !p.ranked()
}

// observe takes the events of the mutex and its wait queue. It returns what is wrong.
func (o *order) observe(e broker.Event, p *party, plan *Plan) (what string) {
	switch {
	case e.Queue == plan.Ref.Name && e.Kind == broker.Freed:
		o.free = e.At
	case e.Queue == plan.Ref.Name && e.Kind == broker.Granted:
		what = o.granted(e.At, p, plan)
		o.free = time.Time{}
	case e.Queue == wire.WaitQueue(plan.Ref.Name) && e.Kind == broker.Joined:
		o.places = append(o.places, spot{p, e.At})
	case e.Queue == wire.WaitQueue(plan.Ref.Name) && e.Kind == broker.Left:
		for i, s := range o.places {
			if s.party == p {
				o.places = append(o.places[:i], o.places[i+1:]...)
				break
			}
		}
	}
	return what
}

func (o *order) granted(at time.Time, p *party, plan *Plan) string {
	if len(o.places) == 0 || o.free.IsZero() {
		return ""
	}
	waits := o.places[0].since
	if waits.Before(o.free) {
		waits = o.free
	}
	if idle := at.Sub(waits); idle > handOver+20*plan.Base {
		return p.String() + " got a mutex that was free for " + idle.String() + " while " +
			o.places[0].party.String() + " waited"
	}
	for _, s := range o.places[1:] {
		if s.party == p {
			return p.String() + " overtook " + o.places[0].party.String()
		}
	}
	return ""
}
