package locker

import (
	"slices"
	"sync"
)

// collection is the slots that one party holds. It changes only while they are collected,
// and in an elastic set.
type collection struct {
	mu      sync.Mutex
	slots   []int        // ascending
	leaving map[int]bool // lost, and not yet given back: nobody may claim one for this set again
}

func (c *collection) list() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.slots)
}

// add does nothing for a slot that is in the collection.
func (c *collection) add(slot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, found := slices.BinarySearch(c.slots, slot); !found {
		c.slots = slices.Insert(c.slots, i, slot)
	}
}

// drop reports whether slot was one of them.
func (c *collection) drop(slot int) (was bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remove(slot)
}

// remove is drop under the lock.
func (c *collection) remove(slot int) (was bool) {
	i, was := slices.BinarySearch(c.slots, slot)
	if was {
		c.slots = slices.Delete(c.slots, i, i+1)
	}
	return was
}

// lose is drop for a slot that is then given back, which gone ends. It reports how many
// are left, too.
func (c *collection) lose(slot int) (left int, was bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was = c.remove(slot); was {
		if c.leaving == nil {
			c.leaving = map[int]bool{}
		}
		c.leaving[slot] = true
	}
	return len(c.slots), was
}

// gone ends the leaving of slot.
func (c *collection) gone(slot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.leaving, slot)
}

// concerns reports whether slot is in the collection, or leaving it.
func (c *collection) concerns(slot int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, held := slices.BinarySearch(c.slots, slot)
	return held || c.leaving[slot]
}
