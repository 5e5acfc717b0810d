package history

import (
	"context"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Run is what the log says of one run: the last grant with its ID, and its end.
type Run struct {
	Grant *Record // nil if it is no longer in the log
	End   *Record // nil if there is none
}

// entry is a record and where it is.
type entry struct {
	offset int64
	record *Record // nil for one that cannot be read
}

// Runs returns the last n runs under the lock, those first that began first. It reads,
// and appends nothing. The error matches ErrNotFound if there is no log.
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

// maxOpen bounds how many grants without an end Follow remembers.
const maxOpen = 100_000

// runs also returns the offset behind what it has read.
func (l *Log) runs(ctx context.Context, n int) ([]Run, int64, error) {
	entries, err := l.lastChunk(ctx)
	for back := int64(3*n + 30); err == nil && len(entries) > 0; back *= 4 {
		first, last := entries[0].offset, entries[len(entries)-1].offset
		runs := l.pair(entries)
		if len(runs) >= n+margin || first == 0 || back > 4*maxBytes {
			return runs[max(0, len(runs)-n):], last + 1, nil
		}
		begin := max(0, last-back)
		entries, err = l.collect(ctx, begin, last)
		if err == nil && entries[0].offset > begin {
			runs := l.pair(entries) // the broker has deleted what was before
			return runs[max(0, len(runs)-n):], entries[len(entries)-1].offset + 1, nil
		}
	}
	return nil, 0, l.explain("read", err)
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
// looks among the records up to an offset, and returns nil if there is none.
func (l *Log) Succeeded(ctx context.Context, upTo int64, since time.Time) (*Record, error) {
	for back := int64(256); ; back *= 8 {
		begin := max(0, upTo-back)
		entries, err := l.collect(ctx, begin, upTo)
		if err != nil {
			return nil, l.explain("read", err)
		}
		oldest := since
		for _, e := range slices.Backward(entries) {
			if !l.concerns(e) || e.offset > upTo {
				continue
			}
			if e.record.succeeded() && e.record.At.After(since) {
				return e.record, nil
			}
			oldest = e.record.At
		}
		all := begin == 0 || entries[0].offset > begin // the rest is deleted
		if all || oldest.Before(since.Add(-skew)) {
			return nil, nil
		}
	}
}

// concerns reports whether an entry is a grant or an end of this lock: a mutex and a
// semaphore of one name share a log.
func (l *Log) concerns(e entry) bool {
	return e.record != nil && e.record.Kind == l.kind &&
		(e.record.Type == TypeGrant || e.record.Type == TypeEnd)
}

// Began is when the lock was granted.
func (r Run) Began() time.Time {
	if r.Grant != nil {
		return r.Grant.At
	}
	return r.End.At.Add(-time.Duration(r.End.Seconds * float64(time.Second)))
}

// atOnce is how many pieces of a log are read at the same time. Most chunks of a log have
// one record, because each run appends alone. RabbitMQ 3.10 takes 0.1 ms for a chunk, and
// spends that waiting: eight readers are not slower than one.
const atOnce = 8

// collect reads the log from an offset up to another one, at which there is a record. If
// the broker has deleted the beginning it returns what is left.
func (l *Log) collect(ctx context.Context, begin, upTo int64) ([]entry, error) {
	first, err := l.piece(ctx, begin, upTo) // alone: it shows where the log begins
	if err != nil {
		return nil, err
	}
	next := first[len(first)-1].offset + 1
	pieces := make([][]entry, max(0, upTo-next+prefetch)/prefetch)
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(atOnce)
	for i := range pieces {
		from := next + int64(i)*prefetch
		all.Go(func() error {
			read, err := l.piece(ctx, from, upTo)
			beyond := func(e entry) bool { return e.offset >= from+prefetch }
			pieces[i] = slices.DeleteFunc(read, beyond) // if this piece has just been deleted
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	return append(first, slices.Concat(pieces...)...), nil
}

// piece reads at most prefetch records from an offset on, up to another one at which there
// is a record. It returns the next record if the broker has deleted all these.
func (l *Log) piece(ctx context.Context, from, upTo int64) (entries []entry, err error) {
	to := min(from+prefetch-1, upTo)
	channel, messages, err := l.consume(ctx, from, int(to-from+1))
	if err != nil {
		return nil, err
	}
	defer channel.CloseLater()
	for {
		message, err := receive(ctx, channel, messages)
		if err != nil {
			return nil, err
		}
		e, err := entryOf(message)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
		if e.offset >= to {
			return entries, nil
		}
	}
}

// emptyTime is how long the first record of a log may take to come. No answer of the
// broker shows that a log is empty. Whoever makes one then writes to it.
const emptyTime = 5 * time.Second

// maxBatch is the largest prefetch that there is. No chunk has more records.
const maxBatch = 65535

// lastChunk reads the last chunk of the log, and what is behind it by now. The broker
// sends all of it in one go. We stop consuming when the first record is there, and the
// other records come before the answer to that. It returns nothing for an empty log.
func (l *Log) lastChunk(ctx context.Context) ([]entry, error) {
	channel, messages, err := l.consume(ctx, -1, maxBatch)
	if err != nil {
		return nil, err
	}
	defer channel.CloseLater()
	firstCtx, cancel := context.WithTimeout(ctx, emptyTime)
	defer cancel()
	message, err := receive(firstCtx, channel, messages)
	if err != nil && firstCtx.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stopped := make(chan error, 1)
	go func() {
		stopped <- channel.Call(ctx, func() error { return channel.Cancel(consumer, false) })
	}()
	var entries []entry
	for {
		e, err := entryOf(message)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
		var ok bool
		select {
		case message, ok = <-messages:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if !ok {
			return entries, <-stopped
		}
	}
}

// each calls f with each record from an offset on, until ctx or the channel ends.
func (l *Log) each(ctx context.Context, begin int64, f func(entry)) error {
	channel, messages, err := l.consume(ctx, begin, prefetch)
	if err != nil {
		return err
	}
	defer channel.CloseLater()
	for {
		message, err := receive(ctx, channel, messages)
		if err != nil {
			return err
		}
		e, err := entryOf(message)
		if err != nil {
			return err
		}
		f(e)
		if err := message.Ack(false); err != nil {
			return channel.Reason(err)
		}
	}
}

// consumer is the tag of the one consumer of a channel.
const consumer = "log"

// consume begins to read a log that exists.
func (l *Log) consume(ctx context.Context, begin int64, ahead int) (
	*wire.Channel, <-chan amqp.Delivery, error,
) {
	channel, err := open(ctx, l.conn)
	if err != nil {
		return nil, nil, err
	}
	messages, err := wire.CallOn(ctx, channel, func() (<-chan amqp.Delivery, error) {
		if err := l.find(channel); err != nil {
			return nil, err
		}
		if err := channel.Qos(ahead, 0, false); err != nil {
			return nil, err
		}
		return channel.Consume(l.queue, consumer, false, false, false, false, from(begin))
	})
	if err != nil {
		channel.CloseLater()
		return nil, nil, err
	}
	return channel, messages, nil
}
