package sim

import (
	"crypto/rand"
	"encoding/binary"
	"flag"
	"maps"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	first   = flag.Uint64("seed", 1, "the first seed")
	number  = flag.Int("seeds", 0, "how many seeds; 0: as many as -length allows")
	with    = flag.String("with", "", "only schedules with this fault, or with none")
	length  = flag.Duration("length", 3*time.Second, "for how long new schedules begin")
	until   = flag.String("until", "", "end at the first violation with these words")
	verbose = flag.Bool("notes", false, "print what happens in each schedule")
)

// longSchedule is for how long a schedule may use the processor: a loop without pauses
// passes no time in the bubble.
const longSchedule = 5 * time.Second

// TestSchedules runs one seed after the other. It is not parallel to others: a failing
// seed shall replay.
func TestSchedules(t *testing.T) {
	if kinds[*with] == nil && *with != "" && *with != "none" {
		t.Fatalf("no fault %q; there are %q", *with, slices.Sorted(maps.Keys(kinds)))
	}
	begun, n, failed, skipped := time.Now(), 0, 0, 0
	warmUp(t)
	seen := map[string]int{}
	for ; *number == 0 && time.Since(begun) < *length || n < *number; n++ {
		plan := Draw(*first + uint64(n+skipped))
		for !plan.has(*with) {
			skipped++
			plan = Draw(*first + uint64(n+skipped))
		}
		start := time.Now()
		r := run(t, plan)
		if took := time.Since(start); took > longSchedule {
			t.Logf("seed %d took %s", plan.Seed, took)
		}
		for what, count := range r.Seen {
			seen[what] += count
		}
		violations := r.Violations
		if len(violations) == 0 {
			continue
		}
		failed++
		t.Fail()
		if *until == "" && failed == 5 ||
			*until != "" && strings.Contains(strings.Join(violations, "\n"), *until) {
			n++
			break
		}
	}
	took := time.Since(begun)
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%9d %s", seen[what], what)
	}
	t.Logf("%d schedules in %s, %.0f a minute, %d failed", n, took.Round(time.Millisecond),
		float64(n)/took.Minutes(), failed)
}

// run runs a schedule, and shows what violates a promise.
func run(t *testing.T, p *Plan) (r Result) {
	t.Helper()
	defer func() {
		if len(r.Violations) > 0 && *until == "" || *verbose {
			t.Log(r.Describe(p))
		} else if len(r.Violations) > 0 {
			t.Logf("seed %d: %s", p.Seed, strings.Join(r.Violations, "; "))
		}
	}()
	if replays && p.Seed%8 == 0 {
		runtime.GC() // and not in the middle
	}
	return inBubble(t, p)
}

// inBubble runs a schedule. What crypto/rand draws comes from its seed too: names that
// are sorted, and no system call, during which another goroutine may go on.
func inBubble(t *testing.T, p *Plan) (r Result) {
	t.Helper()
	usual := rand.Reader
	defer func() { rand.Reader = usual }()
	rand.Reader = newSecrets(p.Seed)
	synctest.Test(t, func(t *testing.T) { r = Run(t.Context(), p) })
	return r
}

// secrets are what crypto/rand draws from. testing/cryptotest does the same, but keeps
// something for each schedule until the end of the test: too much in some hours.
type secrets struct {
	mu   sync.Mutex
	dice *mathrand.ChaCha8
}

func newSecrets(seed uint64) *secrets {
	var wide [32]byte
	binary.LittleEndian.PutUint64(wide[:], seed)
	return &secrets{dice: mathrand.NewChaCha8(wide)}
}

func (s *secrets) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dice.Read(p)
}

// warmUp has the program make what it makes once: after that each seed replays.
func warmUp(t *testing.T) {
	t.Helper()
	for n := range uint64(40) {
		if replays {
			inBubble(t, Draw(n))
		}
	}
}

// TestOracle runs schedules in which commands take longer to stop than they say, until
// the oracle notices that two are alive at once.
func TestOracle(t *testing.T) {
	for seed := range uint64(2000) {
		p := Draw(seed)
		if !p.has("reset") {
			continue
		}
		p.Stop = time.Millisecond
		found := strings.Join(inBubble(t, p).Violations, "\n")
		if strings.Contains(found, "while the command of") {
			t.Logf("seed %d: %s", seed, found)
			return
		}
	}
	t.Error("nobody notices two commands at once")
}

// TestReplay runs seeds twice: the same happens at the same instants.
func TestReplay(t *testing.T) {
	if !replays {
		t.Skip("it takes the runtime of make sim")
	}
	warmUp(t)
	for n := range uint64(30) {
		p := Draw(*first + n)
		once, again := inBubble(t, p).Notes, inBubble(t, p).Notes
		if !slices.Equal(once, again) {
			t.Errorf("%snot the same again:\n%s\n\n%s", p, strings.Join(once, "\n"),
				strings.Join(again, "\n"))
		}
	}
}
