package sim

import (
	"flag"
	"fmt"
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
