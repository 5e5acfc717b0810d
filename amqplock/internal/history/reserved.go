package history

import (
	"context"
	"slices"
	"time"
)

// A run may take a lost lock again (Record.Regain). Others leave its slots alone for
// that time. The first of them that gets such a slot, although the run has no end, notes
// that in the log. The time counts from there.

// Reserved is a run that has lost its slots, and may take them again.
type Reserved struct {
	OpenGrant
	Left time.Duration // for so long
}

// settle is how long the newest records may take to come, once the first of their chunk
// is there. The broker sends a chunk at once. Without these records a waiter may claim a
// reserved slot, and has to give it back. In a busy log there are always newer ones, so
// settleAll bounds the whole wait.
const (
	settle    = 50 * time.Millisecond
	settleAll = 4 * settle
)

// Reserved lists such runs under this lock, as far as Open has found them. It waits for
// that until ctx ends.
func (t *Tail) Reserved(ctx context.Context) (list []Reserved) {
	select {
	case <-t.warmed:
	case <-ctx.Done():
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleAll)
	defer cancel()
	for err := t.err; err == nil; { // what else is in the last chunk
		bounded, cancel := context.WithTimeout(ctx, settle)
		_, _, err = t.read(bounded)
		cancel()
	}
	if !t.known.complete() {
		return nil
	}
	for _, g := range t.known.open {
		if g.Gone != 0 && g.isUnder(t.log.kind) {
			list = reserve(list, g, t.now())
		}
	}
	return list
}

// ReservedFrom lists the runs that share a slot with own, a grant that Grant has
// returned. It notes for all others that these runs do not hold their slots. What is in
// the log decides, and not when this is called: see Others.
func (t *Tail) ReservedFrom(ctx context.Context, own Record) (list []Reserved, err error) {
	for _, g := range t.known.open.rivals(&own) {
		if g.Regain > 0 && g.Gone == 0 {
			now := t.now()
			g.Gone = now.UnixMilli()
			err = t.publish(ctx, "", Record{
				Type: TypeGone, Kind: own.Kind, ID: g.ID, At: now, Host: own.Host, User: own.User,
				Read: t.known.mark(),
			})
			if err != nil {
				return nil, t.log.explain("write to", err)
			}
		}
		list = reserve(list, g, own.At)
	}
	return list, nil
}

// left is for how long the slots of a run that is gone are still reserved at that time.
func (g OpenGrant) left(at time.Time) time.Duration {
	most := time.Duration(min(g.Regain, mostSeconds) * float64(time.Second))
	return min(time.UnixMilli(g.Gone).Add(most).Sub(at), most)
}

// reserve adds a run that is gone, if its time is not over.
func reserve(list []Reserved, g OpenGrant, at time.Time) []Reserved {
	if left := g.left(at); left > 0 {
		return append(list, Reserved{g, left})
	}
	return list
}

// isReserved reports whether a grant at that time had to be given back again, because own
// was in the list before it.
func (g openGrants) isReserved(own *Record, at time.Time) bool {
	i := slices.IndexFunc(g, func(one OpenGrant) bool { return one.isOf(own) })
	return i >= 0 && g[i].Regain > 0 && (g[i].Gone == 0 || g[i].left(at) > 0)
}

// now is the time of the broker.
func (t *Tail) now() time.Time { return time.UnixMilli(t.clock.now(t.log.now())).UTC() }
