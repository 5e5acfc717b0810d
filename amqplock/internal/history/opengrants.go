package history

import (
	"slices"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// isOf reports whether the record is one of that run, which may hold both locks of a
// name.
func (g OpenGrant) isOf(r *Record) bool { return g.ID == r.ID && g.isUnder(r.Kind) }

// isUnder reports whether the grant is of a lock of that kind: a mutex and a semaphore of
// one name share a log.
func (g OpenGrant) isUnder(kind wire.Kind) bool {
	return (len(g.Slots) == 0) == (kind == wire.Mutex)
}

// after is the list behind one more record.
//
// The end of a run says that the earlier runs in its slots are over too: it had waited
// for those before it started. A run that has withdrawn did not start.
func (g openGrants) after(r *Record) openGrants {
	i := -1
	if r != nil {
		i = slices.IndexFunc(g, func(one OpenGrant) bool { return one.isOf(r) })
	}
	switch {
	case r == nil:
	case r.Type == TypeGrant && r.Token > 0:
		return append(g.without(i), OpenGrant{
			ID: r.ID, Slots: r.Slots, Regain: r.Regain, Beacon: r.Beacon,
		})
	case r.Type == TypeGone && i >= 0 && g[i].Gone == 0:
		list := slices.Clone(g)
		list[i].Gone = r.At.UnixMilli()
		return list
	case r.Type == TypeEnd && i >= 0 && r.Result == ResultWithdrawn:
		return g.without(i)
	case r.Type == TypeEnd && i >= 0:
		var left openGrants
		for _, earlier := range g[:i] {
			if earlier, ok := earlier.outside(g[i].Slots); ok {
				left = append(left, earlier)
			}
		}
		return append(left, g[i+1:]...)
	}
	return g
}

// without is a copy of the list without number i, if there is that.
func (g openGrants) without(i int) openGrants {
	if i < 0 {
		return slices.Clone(g)
	}
	return slices.Concat(g[:i], g[i+1:])
}

// outside is what is left of a grant without these slots, if anything is.
func (g OpenGrant) outside(slots []int) (OpenGrant, bool) {
	if !overlap(g.Slots, slots) {
		return g, true
	}
	left := slices.Clone(g.Slots)
	g.Slots = slices.DeleteFunc(left, func(slot int) bool { return slices.Contains(slots, slot) })
	return g, len(g.Slots) > 0
}

// rivals are the grants of other runs that share a slot with own.
func (g openGrants) rivals(own *Record) (list []OpenGrant) {
	for _, one := range g {
		if !one.isOf(own) && overlap(one.Slots, own.Slots) {
			list = append(list, one)
		}
	}
	return list
}

// maxMarked bounds the list in a mark, in grants and slots. It is for 128 holders of a
// slot each.
const maxMarked = 256

// size is the length of the list in a mark.
func (g openGrants) size() (n int) {
	for _, one := range g {
		n += 1 + len(one.Slots)
	}
	return n
}
