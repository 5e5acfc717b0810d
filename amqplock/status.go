package amqplock

import (
	"cmp"
	"slices"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
)

// Status is what can be seen of a lock from outside, at about one instant. Slots is 1 for
// a mutex; Held + Free = Slots, where a slot about which the broker gave no answer counts
// as held. So far the broker vouches for it, and for Waiting, the number of those in the
// wait queue. That is 0 also where nobody in the queue answers. Holders and Waiters are
// what participants say of themselves: a claim, no proof. InspectAll has to rely on that
// for Held too, at a mutex at which the user may not look.
type Status struct {
	// Version, of this structure, is 1: fields may be added to it, none changed or removed.
	Version int    `json:"version"`
	Kind    Kind   `json:"kind"`
	Name    string `json:"name"`
	Slots   int    `json:"slots"`
	Held    int    `json:"held"`
	Free    int    `json:"free"`
	Waiting int    `json:"waiting"`
	Drain   *Drain `json:"drain,omitempty"` // nil: nobody drains the semaphore
	// Holders are ascending by slot. A slot that nobody claims has an entry with Unknown.
	// Its holder is another program, has held it for less than a fifth of a second, lacks
	// a permission, or does not answer.
	Holders []Participant `json:"holders"`
	// Waiters are in the order in which they are to be served: the highest priority first.
	// Those of one priority are in the order in which they joined the wait queue, by how
	// long each says that it has waited there. Two that joined within milliseconds may be
	// the wrong way round. Those without a place in the queue come last.
	Waiters []Participant `json:"waiters"`
}

// Drain is what a drain that goes on will leave. Nobody gets the other slots any more.
type Drain struct {
	To   int `json:"to"`   // so many slots
	Free int `json:"free"` // of which so many are free
}

// Participant is a holder or a waiter.
type Participant struct {
	Unknown bool `json:"unknown,omitempty"` // then only Slots counts
	// Slots, of a holder, are ascending, from 1; a mutex has the one slot 1.
	Slots   []int `json:"slots,omitempty"`
	Elastic bool  `json:"elastic,omitempty"` // a holder that takes slots when they come free
	// Collected, of a waiter for several slots, are those that it keeps already. No holder
	// is listed for them.
	Collected []int `json:"collected,omitempty"`
	// Position, of a waiter, is from 1, among those who answered. 0 means that it has no
	// place in the wait queue and tries now and then.
	Position int `json:"position,omitempty"`
	Priority int `json:"priority,omitempty"` // of a waiter, see WithPriority
	About
	// Since is the time of the grant or of the place in the queue, by the asker's clock.
	Since   time.Time `json:"since,omitzero"`
	Seconds float64   `json:"seconds"` // since then
}

// About is what a participant, a holder or a waiter, says of itself to every asker. All
// of it is its own claim.
type About struct {
	// ID is unique to this run. Evict takes it. Beyond 200 bytes it is cut off, and others
	// see a replacement for what is not printable. A random one takes the place of "".
	ID       string            `json:"id,omitempty"`
	Host     string            `json:"host,omitempty"`
	PID      int               `json:"pid,omitempty"`
	User     string            `json:"user,omitempty"`
	Command  string            `json:"command,omitempty"`
	Job      string            `json:"job,omitempty"` // where to read on: the URL of a CI job
	Metadata map[string]string `json:"metadata,omitempty"`
}

const statusVersion = 1

func newStatus(seen locker.Seen) Status {
	s := Status{
		Version: statusVersion, Kind: seen.Lock.Kind, Name: seen.Lock.Name,
		Slots: seen.Slots, Held: seen.Held, Free: len(seen.Free), Waiting: seen.Queued,
		Holders: []Participant{}, Waiters: []Participant{},
	}
	if seen.Left < seen.Slots {
		s.Drain = &Drain{To: seen.Left}
		for _, slot := range seen.Free {
			if slot <= seen.Left {
				s.Drain.Free++
			}
		}
	}
	if !seen.Asked {
		return s
	}
	position := 0
	for _, a := range seen.Said {
		if len(a.Slots) > 0 {
			continue
		}
		p := participant(a)
		p.Priority = a.Priority
		if a.InQueue {
			position++
			p.Position = position
		}
		s.Waiters = append(s.Waiters, p)
	}
	s.addHolders(seen.Free, seen.Said)
	return s
}

// addHolders adds those who claim slots, and an unknown one for each slot that nobody
// claims or has collected. A claim to a slot that the broker has just seen free is left
// out.
func (s *Status) addHolders(free []int, said []presence.Answer) {
	unclaimed := map[int]bool{} // of the slots that are held
	for slot := 1; slot <= s.Slots; slot++ {
		unclaimed[slot] = true
	}
	for _, slot := range free {
		delete(unclaimed, slot)
	}
	for _, p := range holders(said) {
		var slots []int
		for _, slot := range p.Slots {
			if _, held := unclaimed[slot]; held {
				slots = append(slots, slot)
				unclaimed[slot] = false
			}
		}
		if p.Slots = slots; len(slots) > 0 {
			s.Holders = append(s.Holders, p)
		}
	}
	for i := range s.Waiters {
		var slots []int
		for _, slot := range s.Waiters[i].Collected {
			if unclaimed[slot] {
				slots = append(slots, slot)
				unclaimed[slot] = false
			}
		}
		s.Waiters[i].Collected = slots
	}
	for slot, unknown := range unclaimed {
		if unknown {
			s.Holders = append(s.Holders, Participant{Unknown: true, Slots: []int{slot}})
		}
	}
	slices.SortStableFunc(s.Holders, bySlot)
}

// holders are those who claim slots, as people count them: a mutex has slot 1.
func holders(said []presence.Answer) []Participant {
	var list []Participant
	for _, a := range said {
		if p := participant(a); len(a.Slots) > 0 {
			for _, slot := range a.Slots {
				p.Slots = append(p.Slots, max(slot, 1))
			}
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, bySlot)
	return list
}

func bySlot(a, b Participant) int { return cmp.Compare(a.Slots[0], b.Slots[0]) }

func participant(a presence.Answer) Participant {
	return Participant{
		About: About(a.About), Since: a.Since(), Elastic: a.Elastic, Collected: a.Collected,
		Seconds: float64(a.Millis) / 1000,
	}
}
