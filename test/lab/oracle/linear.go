package oracle

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Grant is the grant to one contender, as seen from outside. The lock was granted at some
// time between Asked and Start of its run. It was given back between the last sign of
// life of its run and Gone.
type Grant struct {
	ID    string        // of its run
	Asked time.Duration // when the contender was started
	Gone  time.Duration // when it had ended; 0: unknown, so the lock may have come free any time
}

// Linearizable reports whether a mutex for each slot can have made the grants. There must
// be an order of all grants and returns that fits their times. In that order a slot is
// only granted while nobody has it. A contender that was granted nothing, or
// failed, may be left out: it has no effect on the others.
func (h *History) Linearizable(grants []Grant) bool {
	var operations []porcupine.Operation
	for client, g := range grants {
		r := h.Find(g.ID)
		if r == nil {
			continue
		}
		gone := int64(math.MaxInt64)
		if g.Gone != 0 {
			gone = int64(g.Gone)
		}
		operations = append(
			operations,
			porcupine.Operation{
				ClientId: client,
				Input:    move{r.Slot, +1},
				Call:     int64(g.Asked),
				Return:   int64(r.Start),
			},
			porcupine.Operation{
				ClientId: client,
				Input:    move{r.Slot, -1},
				Call:     int64(r.Last),
				Return:   gone,
			},
		)
	}
	return porcupine.CheckOperations(slotModel, operations)
}

// move takes (+1) or gives back (-1) a slot.
type move struct{ slot, delta int }

var slotModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		slots := map[int][]porcupine.Operation{}
		for _, o := range history {
			slot := o.Input.(move).slot
			slots[slot] = append(slots[slot], o)
		}
		return slices.Collect(maps.Values(slots))
	},
	Init: func() any { return 0 },
	Step: func(state, input, _ any) (bool, any) {
		held := state.(int) + input.(move).delta
		return held == 0 || held == 1, held
	},
}
