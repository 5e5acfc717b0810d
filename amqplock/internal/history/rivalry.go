package history

import (
	"context"
	"slices"
	"time"
)

// signTime is how long a newcomer waits for a sign of life. A holder that is alive gives
// it within milliseconds. It is long enough for a busy machine, and a crash costs it.
const signTime = 500 * time.Millisecond

// mostSeconds bounds for how long a sign of life is heeded.
const mostSeconds = 3600

// AwaitRivals blocks until no earlier run can be alive in our slots, as far as the log
// says. waited says that it had to wait, so that the lock is to be proven again. It calls
// alive with the first sign of life of each run; an error of that ends the wait.
//
// It waits for signTime if no such run gives a sign of life, and else for the ends of
// those that do, or until the time is over that they have named. The error is a
// *SupersededError if our slot is granted again meanwhile.
func (f *Follower) AwaitRivals(
	ctx context.Context, alive func(*Record) error,
) (waited bool, err error) {
	w := newRivalry(f.known.open.rivals(&f.own), time.Now())
	for ; !w.over(time.Now()); waited = true {
		bounded, cancel := context.WithDeadline(ctx, w.until())
		r, err := f.Next(bounded)
		late := bounded.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case late:
			continue
		case err != nil:
			return true, err
		case f.Supersedes(r):
			return true, &SupersededError{By: *r}
		}
		if w.heed(r, time.Now()) {
			if err := alive(r); err != nil {
				return true, err
			}
		}
	}
	return waited, nil
}

// SupersededError says that a slot of ours was granted again.
type SupersededError struct{ By Record }

func (e *SupersededError) Error() string { return "it was granted again to " + e.By.Whose() }

// rivalry is what a newcomer knows of the runs that may be alive in its slots: until when
// it waits for each of them, by ID.
type rivalry struct {
	waits map[string]time.Time
	alive []string // those that have given a sign of life
}

func newRivalry(rivals []Held, now time.Time) *rivalry {
	w := &rivalry{waits: map[string]time.Time{}}
	for _, rival := range rivals {
		w.waits[rival.ID] = now.Add(signTime)
	}
	return w
}

// until is when the wait ends if nothing more is read.
func (w *rivalry) until() (end time.Time) {
	for _, until := range w.waits {
		if until.After(end) {
			end = until
		}
	}
	return end
}

func (w *rivalry) over(now time.Time) bool { return !w.until().After(now) }

// heed takes in a record. It reports whether that is the first sign of life of a rival.
func (w *rivalry) heed(r *Record, now time.Time) (first bool) {
	if _, ok := w.waits[r.ID]; !ok {
		return false
	}
	switch r.Type {
	case TypeEnd:
		delete(w.waits, r.ID)
	case TypeAlive:
		named := time.Duration(min(r.Seconds, mostSeconds) * float64(time.Second))
		w.waits[r.ID] = now.Add(max(named, signTime))
		if first = !slices.Contains(w.alive, r.ID); first {
			w.alive = append(w.alive, r.ID)
		}
	}
	return first
}
