package history

import "errors"

// A token is valid when it is larger than all tokens before it in the log. So the place
// of a record in the log decides, and valid tokens grow in that order whatever the clocks
// say. A writer appends its grant, and reads the log up to that record. If it finds that
// the grant is not valid it appends another one.
//
// It does not read the whole log for that. A record says what its writer had read (Mark),
// and a reader begins where such a record leaves off.

// known is what a reader knows of the tokens in a log, from the records that it has read
// so far.
type known struct {
	begin int64 // Where reading began; -1 at the last chunk.

	any      bool  // It has read a record.
	from, to int64 // The offsets it has read, without a gap, see spare.
	whole    bool  // There is nothing before from.
	met      int64 // An earlier reading has come to this offset.

	marked int64 // The largest offset that a record read vouches for; -1 if none does.
	top    int64 // The largest token that it has met.
	lifted bool  // One of them may be the first of a log.

	open  openGrants // Up to to if it is complete, else up to marked.
	later []entry    // Entries that are not in open, while it is not complete.
}

func newKnown(begin int64) known { return known{begin: begin, marked: -1} }

// spare is how many offsets at the head of a segment are those of no record. RabbitMQ
// writes there what it knows of the publishers, and does not show that to readers.
const spare = 1

// isAll reports whether a reader that began at an offset and met its first record at
// another has all that the log still has. The broker deletes whole segments. So the first
// record behind a deletion comes later than one behind the head of a segment.
func isAll(begin, first int64) bool { return begin == 0 || first > begin+spare }

// add takes in the next record, nil for one that cannot be read.
func (k *known) add(offset int64, r *Record) {
	if !k.any {
		k.any, k.from = true, offset
		k.whole = offset == 0 || k.begin >= 0 && isAll(k.begin, offset)
		if k.begin >= 0 && !k.whole {
			k.from = k.begin
		}
	}
	k.to = offset
	if r != nil {
		k.top = max(k.top, r.Token)
		k.lifted = k.lifted || r.lifted()
		// A record cannot vouch for what comes behind it. One that does is of a log that was
		// deleted.
		if r.Read != nil && r.Read.Offset < offset {
			k.top = max(k.top, r.Read.Token)
			k.trust(r.Read)
		}
	}
	k.track(entry{offset, r})
}

// trust takes in what a record says of those before it. One that lacks the open grants
// does not say enough.
func (k *known) trust(m *Mark) {
	if m.Offset <= k.marked || m.Open == nil {
		return
	}
	if !k.complete() {
		k.open = m.Open
	}
	k.marked = m.Offset
}

// track brings the open grants up to date, as soon as it is known where to begin.
func (k *known) track(e entry) {
	k.later = append(k.later, e)
	if !k.complete() {
		return
	}
	for _, e := range k.later {
		if k.whole || e.offset > k.marked {
			k.open = k.open.after(e.record)
		}
	}
	k.later = nil
}

// complete reports whether top is the largest token in the log up to the last record
// read.
func (k *known) complete() bool { return k.any && (k.whole || k.marked >= k.from-1) }

// mark is what a record may vouch for that is written now.
func (k *known) mark() *Mark {
	if !k.complete() {
		return nil
	}
	m := &Mark{Offset: k.to, Token: k.top}
	if k.open.size() <= maxMarked {
		m.Open = append(openGrants{}, k.open...) // not nil
	}
	return m
}

// start is the offset at which reading has to begin so that nothing is missing. A reader
// that has met no record which vouches for anything goes that far back.
func (k *known) start(back int64) int64 {
	if k.marked >= 0 {
		return k.marked + 1
	}
	return max(0, k.from-back)
}

// newLogLift is how much later than its time the first token of a log is. What a log that
// was deleted had given out is not known any more; then only the clock makes tokens grow.
// It is known to some 1.5 s (see clock). So the tokens of two writers may be 3 s apart in
// the wrong order. Only the first token is later. Those behind it are the next numbers,
// until the clock has caught up, or a log that is deleted soon would have them all ahead.
const newLogLift = 5000

// lifted reports whether the token of a grant is late enough to be the first of a log.
func (r *Record) lifted() bool { return r.Token >= r.At.UnixMilli()+newLogLift }

// floor is the least token for a grant at the time now, in Unix milliseconds.
func (k *known) floor(now int64) int64 {
	if k.any && k.from == 0 && !k.lifted {
		return now + newLogLift
	}
	return now
}

// errNoToken says that a record holds a token which amqprun cannot have given out.
var errNoToken = errors.New("it holds a token so large that none can follow")

// next is the token for a grant at the time now. While it is known that there is more to
// read, it is not that of a new log. Otherwise the tokens of an old log would be ahead of
// the clock too.
func (k *known) next(now int64) (int64, error) {
	token := max(k.top+1, now)
	if k.to >= k.met {
		token = max(token, k.floor(now))
	}
	if token > maxToken {
		return 0, errNoToken
	}
	return token, nil
}

// valid reports whether the last record read, a grant made with this token at the time
// now, is valid. It takes what was known before that record, all of it.
func (k *known) valid(before known, token, now int64) bool {
	return token > before.top && token >= k.floor(now)
}
