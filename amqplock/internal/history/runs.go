package history

import (
	"context"
	"slices"
	"time"
)

// Run is what the log says of one run: the last grant with its ID, and its end.
type Run struct {
	Grant *Record // nil if it is no longer in the log
	End   *Record // nil if there is none
}

// Runs returns the last n runs under the lock, those first that began first, and none for
// an n below 1. It reads, and appends nothing. The error matches ErrNotFound if there is
// no log.
func (l *Log) Runs(ctx context.Context, n int) ([]Run, error) {
	runs, _, err := l.runs(ctx, n)
	return runs, err
}

// Follow calls began with the last n runs, and then f with each run that is granted or
// ends, until ctx ends. Then it returns nil.
func (l *Log) Follow(ctx context.Context, n int, began func([]Run), f func(Run)) error {
	runs, next, err := l.runs(ctx, n)
	if err != nil {
		return err
	}
	began(runs)
	open := map[string]*Record{} // the grants without an end
	for _, run := range runs {
		if run.Grant != nil && run.End == nil {
			open[run.Grant.ID] = run.Grant
		}
	}
	err = l.each(ctx, next, func(e entry) {
		if !l.concerns(e) {
			return
		}
		id := e.record.ID
		if e.record.Type == TypeGrant {
			if e.record.Regained && open[id] != nil {
				return
			}
			if len(open) > maxOpen {
				clear(open)
			}
			open[id] = e.record
			f(Run{Grant: e.record})
			return
		}
		f(Run{Grant: open[id], End: e.record})
		delete(open, id)
	})
	if ctx.Err() != nil {
		return nil
	}
	return l.explain("read", err)
}

// maxOpen bounds how many grants without an end Follow remembers: as many as a semaphore
// can have slots (wire.MaxSlots).
const maxOpen = 100_000

// runs also returns the offset behind what it has read.
func (l *Log) runs(ctx context.Context, n int) ([]Run, int64, error) {
	newest, err := l.lastChunk(ctx)
	if err != nil || len(newest) == 0 {
		return nil, 0, l.explain("read", err)
	}
	last := newest[len(newest)-1].offset
	n = int(min(max(int64(n), 0), last+1)) // there are no more
	for back := int64(3*n + 30); ; back *= 4 {
		begin := max(0, last-back)
		entries, err := l.collect(ctx, begin, last)
		if err != nil {
			return nil, 0, l.explain("read", err)
		}
		runs := l.pair(entries)
		if len(runs) >= n+margin || isAll(begin, entries[0].offset) {
			return runs[max(0, len(runs)-n):], last + 1, nil
		}
	}
}

// margin is how many runs before the last n are read too: one that began before them may
// have ended among them.
const margin = 10

// pair makes runs of records, in the order of their grants. An end without a grant counts
// from when it must have begun.
func (l *Log) pair(entries []entry) []Run {
	var runs []Run
	index := map[string]int{}
	for _, e := range entries {
		if !l.concerns(e) {
			continue
		}
		i, ok := index[e.record.ID]
		if !ok {
			i = len(runs)
			index[e.record.ID] = i
			runs = append(runs, Run{})
		}
		switch {
		case e.record.Type == TypeEnd:
			runs[i].End = e.record
		case !e.record.Regained || runs[i].Grant == nil:
			runs[i] = Run{Grant: e.record} // it may have withdrawn before
		}
	}
	slices.SortStableFunc(runs, func(a, b Run) int { return a.Began().Compare(b.Began()) })
	return runs
}

// skew is how far the clocks of two writers may differ whose runs are not fenced.
const skew = time.Hour

// Succeeded finds the newest end of a run that ended with status 0 after an instant. It
// looks among the records up to an offset, and returns nil if there is none. A run whose
// newest end says that it lost its lock has not succeeded: it may have another end.
func (l *Log) Succeeded(ctx context.Context, upTo int64, since time.Time) (*Record, error) {
	for back := int64(256); ; back *= 8 {
		begin := max(0, upTo-back)
		entries, err := l.collect(ctx, begin, upTo)
		if err != nil {
			return nil, l.explain("read", err)
		}
		oldest, lost := since, map[string]bool{}
		for _, e := range slices.Backward(entries) {
			if !l.concerns(e) || e.offset > upTo {
				continue
			}
			r := e.record
			if r.succeeded() && !lost[r.ID] && r.At.After(since) {
				return r, nil
			}
			lost[r.ID] = lost[r.ID] || r.Type == TypeEnd && r.Result == ResultLost
			oldest = r.At
		}
		if isAll(begin, entries[0].offset) || oldest.Before(since.Add(-skew)) {
			return nil, nil
		}
	}
}

// Began is when the lock was granted.
func (r Run) Began() time.Time {
	if r.Grant != nil {
		return r.Grant.At
	}
	return r.End.At.Add(-time.Duration(r.End.Seconds * float64(time.Second)))
}
