package sim

import (
	"flag"
	"fmt"
"hash/fnv"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var (
	first  = flag.Uint64("seed", 1, "the first seed")
	number = flag.Int("seeds", 0, "how many seeds; 0: as many as -length allows")
	length = flag.Duration("length", 3*time.Second, "for how long new schedules begin")
)

// TestSchedules runs one seed after the other.
func TestSchedules(t *testing.T) {
	begun, n, failed := time.Now(), 0, 0
	for ; *number == 0 && time.Since(begun) < *length || n < *number; n++ {
		if plan := Draw(*first + uint64(n)); !try(t, plan) {
			if failed++; failed == 5 {
				break
			}
		}
	}
	took := time.Since(begun)
	t.Logf("%d schedules in %s, %.0f a minute", n, took.Round(time.Millisecond),
		float64(n)/took.Minutes())
}

func try(t *testing.T, p *Plan) bool {
	return t.Run(fmt.Sprintf("seed %d", p.Seed), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if violations, notes := Run(t.Context(), p); len(violations) > 0 {
				t.Error(describe(p, violations, notes))
			}
		})
	})
}

// TestReplay runs some seeds twice: the same happens at the same instants.
func TestReplay(t *testing.T) {
	for n := range uint64(40) {
		synctest.Test(t, func(t *testing.T) { Run(t.Context(), Draw(n)) })
	}
	for n := range uint64(60) {
		var before []string
		for range 2 {
			var notes []string
			synctest.Test(t, func(t *testing.T) { _, notes = Run(t.Context(), Draw(*first+n)) })
			if before != nil && !slices.Equal(before, notes) {
				at := 0
				for at < min(len(before), len(notes)) && before[at] == notes[at] {
					at++
				}
				t.Errorf("seed %d: note %d of %d differs:\n%s\n%s", *first+n, at, len(notes), before[max(at-1,0):at+1], notes[max(0,at-1):at+1])
			}
			before = notes
			h := fnv.New64(); fmt.Fprint(h, notes); fmt.Println(*first+n, h.Sum64())
		}
	}
}
