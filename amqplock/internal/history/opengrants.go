package history

import (
	"slices"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// isOf reports whether the record is one of that run. A mutex and a semaphore of one name
// share a log, and a run may hold both.
func (h Held) isOf(r *Record) bool {
	return h.ID == r.ID && (len(h.Slots) == 0) == (r.Kind == wire.Mutex)
}

// after is the list behind one more record.
//
// The end of a run says that the earlier runs in its slots are over too: it had waited
// for those before it started. A run that has withdrawn did not start.
func (h held) after(r *Record) held {
	i := -1
	if r != nil {
		i = slices.IndexFunc(h, func(one Held) bool { return one.isOf(r) })
	}
	switch {
	case r == nil:
	case r.Type == TypeGrant && r.Token > 0:
		return append(h.without(i), Held{
			ID: r.ID, Slots: r.Slots, Regain: r.Regain, Beacon: r.Beacon,
		})
	case r.Type == TypeGone && i >= 0 && h[i].Gone == 0:
		list := slices.Clone(h)
		list[i].Gone = r.At.UnixMilli()
		return list
	case r.Type == TypeEnd && i >= 0 && r.Result == ResultWithdrawn:
		return h.without(i)
	case r.Type == TypeEnd && i >= 0:
		var left held
		for _, earlier := range h[:i] {
			if earlier, ok := earlier.outside(h[i].Slots); ok {
				left = append(left, earlier)
			}
		}
		return append(left, h[i+1:]...)
	}
	return h
}

// without is a copy of the list without number i, if there is that.
func (h held) without(i int) held {
	if i < 0 {
		return slices.Clone(h)
	}
	return slices.Concat(h[:i], h[i+1:])
}

// outside is what is left of a grant without these slots, if anything is.
func (h Held) outside(slots []int) (Held, bool) {
	if !overlap(h.Slots, slots) {
		return h, true
	}
	left := slices.Clone(h.Slots)
	h.Slots = slices.DeleteFunc(left, func(slot int) bool { return slices.Contains(slots, slot) })
	return h, len(h.Slots) > 0
}

// rivals are the grants of other runs that share a slot with own.
func (h held) rivals(own *Record) (list []Held) {
	for _, one := range h {
		if !one.isOf(own) && overlap(one.Slots, own.Slots) {
			list = append(list, one)
		}
	}
	return list
}

// maxHeld bounds the list in a mark, in grants and slots. It is for 128 holders of a slot
// each.
const maxHeld = 256

// size is the length of the list in a mark.
func (h held) size() (n int) {
	for _, one := range h {
		n += 1 + len(one.Slots)
	}
	return n
}
