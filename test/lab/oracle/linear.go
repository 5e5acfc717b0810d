package oracle

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Grant is the grant to one contender, as seen from outside. The lock was granted at some
// time between Asked and Start of its run. It came free between the last sign of life of
// its run, or Freed, and Gone.
type Grant struct {
	ID    string        // of its run
	Asked time.Duration // when the contender was started
	Gone  time.Duration // when it had ended; 0: unknown, so the lock came free any time
	// Freed is from when on the broker may have taken the lock from its run; 0: never.
	Freed time.Duration
}

// Check returns nil if a lock can have made the grants. There must be an order of all
// grants and returns that fits their times. In that order a slot is only granted while
// nobody has it, and only its holder gives it back. If the runs have tokens, each grant
// has a larger one than all before it, whatever the slot. So a mutex is checked as a
// fenced mutex, and a semaphore as a fenced semaphore.
//
// A contender that was granted nothing, or failed, may be left out: it has no effect on
// the others.
func (h *History) Check(grants []Grant) error {
	var granted []Grant
	for _, g := range grants {
		if h.Find(g.ID) != nil {
			granted = append(granted, g)
		}
	}
	fenced, err := h.sortByToken(granted)
	if err != nil {
		return err
	}
	var operations []porcupine.Operation
	for i, g := range granted {
		r := h.Find(g.ID)
		take, back := move{run: g.ID, slot: r.Slot, rank: i}, move{run: g.ID, slot: r.Slot, back: true}
		operations = append(operations,
			porcupine.Operation{
				ClientId: i, Input: take, Call: int64(g.Asked), Return: int64(r.Start),
			},
			porcupine.Operation{
				ClientId: i, Input: back, Call: int64(r.freed(g)), Return: int64(r.gone(g)),
			})
	}
	switch porcupine.CheckOperationsTimeout(model(fenced), operations, checkTime) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("no order of the grants found in %s, and no proof that there is none",
			checkTime)
	}
	if !fenced {
		return errors.New("the grants are not those of a lock")
	}
	return fmt.Errorf("the grants are not those of a fenced lock%s", h.inversion(granted))
}

// checkTime bounds the search for an order. With tokens it takes milliseconds.
const checkTime = time.Minute

// sortByToken reports whether the runs have tokens: all, or none.
func (h *History) sortByToken(grants []Grant) (fenced bool, err error) {
	token := func(g Grant) int64 { return h.Find(g.ID).Token }
	slices.SortStableFunc(grants, func(a, b Grant) int { return cmp.Compare(token(a), token(b)) })
	for i, g := range grants {
		fenced = fenced || token(g) != 0
		if i > 0 && fenced && token(g) == token(grants[i-1]) {
			return true, fmt.Errorf("not those of a fenced lock: %s and %s have the token %d",
				grants[i-1].ID, g.ID, token(g))
		}
	}
	if fenced && token(grants[0]) == 0 {
		return true, fmt.Errorf("%s has no token", grants[0].ID)
	}
	return fenced, nil
}

// inversion names two runs of which the later has the smaller token.
func (h *History) inversion(byToken []Grant) string {
	for i, larger := range byToken {
		for _, smaller := range byToken[:i] {
			a, b := h.Find(larger.ID), h.Find(smaller.ID)
			if a.Start < smaller.Asked || a.Slot == b.Slot && a.Start < b.Start {
				return fmt.Sprintf(": %s had token %d, and %s after it %d", a.ID, a.Token, b.ID, b.Token)
			}
		}
	}
	return ""
}

// freed is from when on the lock may have come free.
func (r *Run) freed(g Grant) time.Duration {
	if g.Freed != 0 {
		return max(min(g.Freed, r.Last), r.Start)
	}
	return r.Last
}

func (r *Run) gone(g Grant) time.Duration {
	if g.Gone == 0 {
		return math.MaxInt64
	}
	return g.Gone
}

// move takes a slot or gives it back.
type move struct {
	run  string
	slot int
	rank int // of the token among all
	back bool
}

// state is who has which slot, and how many grants there were. All grants are in the
// order, so the next one has the next rank. "Larger than all before" is the same, and
// leaves more orders to try.
type state struct {
	holders string
	granted int
}

// model is the fenced lock of Jepsen's tests of Hazelcast, with slots that have numbers.
// Without tokens every slot is a lock of its own.
func model(fenced bool) porcupine.Model {
	m := porcupine.Model{
		Init: func() any { return state{} },
		Step: func(before, input, _ any) (bool, any) {
			return step(before.(state), input.(move), fenced)
		},
	}
	if !fenced {
		m.Partition = bySlot
	}
	return m
}

func step(s state, m move, fenced bool) (legal bool, after state) {
	holders := strings.Fields(s.holders)
	place := fmt.Sprintf("%d:", m.slot)
	at := slices.IndexFunc(holders, func(h string) bool { return strings.HasPrefix(h, place) })
	switch {
	case m.back && at >= 0 && holders[at] == place+m.run:
		holders = slices.Delete(holders, at, at+1)
	case m.back, at >= 0, fenced && m.rank != s.granted:
		return false, s
	default:
		holders = append(holders, place+m.run)
		slices.Sort(holders)
		s.granted++
	}
	s.holders = strings.Join(holders, " ")
	return true, s
}

func bySlot(history []porcupine.Operation) [][]porcupine.Operation {
	slots := map[int][]porcupine.Operation{}
	for _, o := range history {
		slot := o.Input.(move).slot
		slots[slot] = append(slots[slot], o)
	}
	return slices.Collect(maps.Values(slots))
}
