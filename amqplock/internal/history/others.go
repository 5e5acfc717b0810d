package history

import (
	"context"
	"slices"
)

// Others returns the grants of other runs that share a slot with own, a grant of ours.
// It looks behind own, up to an offset that the log has reached. A run whose grant
// needed several tries is in it several times. One that has withdrawn is not. One that
// had to withdraw is not either, unless its end says that it has run. The slots were
// reserved for own, and its connection may have ended before it could write that.
//
// own and the offset come from Tail.Grant, which leaves the offset of a grant in its mark
// (Read.Offset). The error matches ErrNotFound if own is no longer in the log: then
// nobody knows.
func (l *Log) Others(ctx context.Context, own Record, upTo int64) ([]Record, error) {
	begin := own.Read.Offset
	entries, err := l.collect(ctx, begin, upTo)
	if err != nil {
		return nil, l.explain("read", err)
	}
	if len(entries) == 0 || !isGrantOf(entries[0], begin, own) {
		return nil, l.explain("read", errGone)
	}
	var others []Record
	hadToWithdraw := map[string]Record{}
	open := openGrants(nil).after(&own)
	for _, e := range entries[1:] {
		if e.record == nil || e.record.Kind != l.kind || e.offset > upTo {
			continue
		}
		switch r := e.record; {
		case r.rivals(&own) && r.Token > 0 && open.isReserved(&own, r.At):
			if !r.Regained { // else it is paused as we are, and finds our grant
				hadToWithdraw[r.ID] = *r
			}
		case r.Type == TypeGrant && !r.rivals(&own): // it has got other slots since
			delete(hadToWithdraw, r.ID)
		case r.rivals(&own):
			others = append(others, *r)
		case r.Type == TypeEnd && r.Result == ResultWithdrawn:
			others = slices.DeleteFunc(others, func(o Record) bool { return o.ID == r.ID })
			delete(hadToWithdraw, r.ID)
		case r.Type == TypeEnd && r.Result != ResultSkipped:
			if grant, ok := hadToWithdraw[r.ID]; ok {
				others = append(others, grant)
			}
		}
		open = open.after(e.record)
	}
	return others, nil
}

// isGrantOf reports whether an entry is that grant, at that offset.
func isGrantOf(e entry, offset int64, own Record) bool {
	return e.offset == offset && e.record != nil && e.record.Type == TypeGrant &&
		e.record.ID == own.ID && e.record.Token == own.Token
}
