package locker

import (
	"slices"
	"testing"
)

// A slot is in a collection once, and concerns the set until it is given back.
func TestCollection(t *testing.T) {
	t.Parallel()
	var c collection
	for _, slot := range []int{3, 1, 3, 2, 1} {
		c.add(slot)
	}
	if got := c.list(); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("holds %v, want slots 1 to 3", got)
	}
	if left, was := c.lose(2); left != 2 || !was || !c.concerns(2) {
		t.Errorf("lost one of three: %d left, it was one: %t, concerns the set: %t", left, was,
			c.concerns(2))
	}
	if c.gone(2); c.concerns(2) || !c.concerns(3) {
		t.Error("a slot that is given back concerns the set, or one that is held does not")
	}
	if _, was := c.lose(7); was || c.concerns(7) {
		t.Error("a slot of others concerns the set")
	}
}
