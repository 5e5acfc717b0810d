package locker

import (
	"slices"
	"testing"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// The preferred slots may be behind those that a search for any looks at.
func TestPreferredSlots(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		slots  int
		prefer []int
	}{{4, []int{3}}, {40, []int{30}}, {100, []int{70}}, {200, []int{150}}, {200, []int{70, 150}}} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cfg = p.semaphore(cfg, test.slots)
			cfg.Prefer, cfg.Count = test.prefer, len(test.prefer)
			for range 3 { // by chance it would be any
				if got := taken(t, cfg); !slices.Equal(got, test.prefer) {
					t.Errorf("got slots %v of %d, want %v", got, test.slots, test.prefer)
				}
			}
			p.mu.Lock()
			p.queues[wire.HeldQueue("x", test.prefer[0])] = &peerConn{}
			p.mu.Unlock()
			got, free := taken(t, cfg), test.prefer[1:]
			if slices.Contains(got, test.prefer[0]) || len(free) == 1 && !slices.Contains(got, free[0]) {
				t.Errorf("got slots %v of %d, want %v and one that another does not hold",
					got, test.slots, free)
			}
		})
	}
}

// A drain says how many slots it will leave, or before that removes the last one.
func TestPreferredSlotIsLeftToADrain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		slots int
		mark  []string
		got   bool
	}{
		{100, append(wire.TargetBits("x", 69), wire.DrainTarget("x")), false},
		{100, append(wire.TargetBits("x", 70), wire.DrainTarget("x")), true},
		{70, nil, false}, {71, nil, true},
	} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cfg = p.semaphore(cfg, test.slots)
			for _, queue := range append(test.mark, wire.DrainQueue("x")) {
				p.queues[queue] = &peerConn{}
			}
			cfg.Prefer = []int{70}
			if got := taken(t, cfg)[0]; (got == 70) != test.got {
				t.Errorf("got slot %d of %d; marked by %v", got, test.slots, test.mark)
			}
		})
	}
}
