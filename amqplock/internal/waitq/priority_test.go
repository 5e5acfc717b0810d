package waitq

import (
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
)

// A place counts those of a higher priority, and those of the same who came before.
func TestRank(t *testing.T) {
	t.Parallel()
	// An answer without an age is older than the future.
	rivals := []presence.Answer{
		{Priority: 7}, {Priority: 7}, {Priority: -7},
	}
	future := time.Now().Add(time.Hour)
	for _, c := range []struct {
		what                   string
		priority, came, others int
		at                     time.Time
		ahead, higher          int
		lower                  bool
	}{
		{"0, late", 0, 6, 6, future, 5, 2, true},
		{"0, early", 0, 0, 6, time.Time{}, 2, 2, true},
		{"7, late", 7, 6, 6, future, 2, 2, true},
		{"7, early", 7, 0, 6, time.Time{}, 0, 0, true},
		{"8", 8, 6, 6, future, 0, 0, true},
		{"-7, late", -7, 6, 6, future, 6, 3, false},
		{"-7, early", -7, 0, 6, time.Time{}, 5, 2, false},
		{"-8", -8, 0, 6, time.Time{}, 6, 3, false},
		{"some have left since", 0, 1, 1, future, 2, 2, true},
	} {
		r := rank{at: c.at, came: c.came}
		ahead := r.among(c.priority, c.others, rivals)
		if ahead != c.ahead || r.higher != c.higher || r.lower != c.lower {
			t.Errorf("%s: %d ahead, %d of them answer, lower %t; want %d, %d, %t", c.what, ahead,
				r.higher, r.lower, c.ahead, c.higher, c.lower)
		}
	}
}
