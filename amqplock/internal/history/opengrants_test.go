package history

import (
	"fmt"
	"strings"
	"testing"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// records makes a log of words. "+a" is a fenced grant of run a, and "?a" one without a
// token. "-a" is its end, "~a" its end when it has withdrawn, "!a" its sign of life.
// With numbers behind it is of a semaphore: "+a12" grants its slots 1 and 2.
func records(words string) (list []*Record) {
	types := map[byte]string{
		'+': TypeGrant, '?': TypeGrant, '!': TypeAlive, '-': TypeEnd, '~': TypeEnd,
	}
	for i, word := range strings.Fields(words) {
		r := &Record{Type: types[word[0]], Kind: wire.Mutex, ID: word[1:2], Token: int64(i + 1)}
		for _, digit := range word[2:] {
			r.Kind = wire.Semaphore
			if r.Type == TypeGrant {
				r.Slots = append(r.Slots, int(digit-'0'))
			}
		}
		switch word[0] {
		case '?':
			r.Token = 0
		case '~':
			r.Result = ResultWithdrawn
		}
		list = append(list, r)
	}
	return list
}

func (g openGrants) String() string {
	var words []string
	for _, one := range g {
		words = append(words, strings.Trim(fmt.Sprint(one.ID, one.Slots), "[]"))
	}
	return strings.ReplaceAll(strings.Join(words, ","), "[", "")
}

func TestOpenGrants(t *testing.T) {
	t.Parallel()
	for log, want := range map[string]string{
		"":               "",
		"+a":             "a",
		"+a -a":          "",
		"+a +b":          "a,b", // granted twice
		"+a +b -a":       "b",
		"+a +b -b":       "", // a has died: b has waited for it
		"+a +b ~b":       "a",
		"+a +b ~b +c -c": "",
		"+a +a":          "a", // it needed two tries, or took the lock again
		"+a +b +a":       "b,a",
		"-a":             "",
		"+a !a":          "a",
		"?a":             "", // it does not follow
		"+a ?b -b":       "a",

		"+a1 +b2":          "a1,b2",
		"+a1 +b2 -a1":      "b2",
		"+a1 +b2 -b2":      "a1", // another slot
		"+a12 +b2 -b2":     "a1",
		"+a12 +b2 -b2 -a1": "",
		"+a1 +a":           "a1,a", // the mutex of this name
		"+a1 +b -b":        "a1",
		"+a +a1 -a1":       "a",
	} {
		var g openGrants
		for _, r := range append([]*Record{nil}, records(log)...) {
			g = g.after(r)
		}
		if got := g.String(); got != want {
			t.Errorf("%s: open are %s, want %s", log, got, want)
		}
	}
}

func TestRivals(t *testing.T) {
	t.Parallel()
	g := openGrants{{ID: "a", Slots: []int{1, 2}}, {ID: "b", Slots: []int{3}}, {ID: "c"}, {ID: "d"}}
	for _, test := range []struct {
		own  string
		want string
	}{
		{"+x2", "a1 2"}, {"+x13", "a1 2,b3"}, {"+x4", ""}, {"+a2", ""}, {"+a3", "b3"}, {"+x", "c,d"},
		{"+c", "d"},
	} {
		if got := openGrants(g.rivals(records(test.own)[0])).String(); got != test.want {
			t.Errorf("rivals of %s: %s, want %s", test.own, got, test.want)
		}
	}
}

// Wherever one begins to read: as soon as it is complete, it knows what one knows who has
// read everything.
func TestOpenGrantsAreThoseOfTheWholeLog(t *testing.T) {
	t.Parallel()
	list := records("?x +a1 +b2 !a -a1 +c1 +d3 -b2 -x +e2 ~e2 +f12 -c1 +g3 -f1 +h1 -h1 +i2")
	const gap = 9 // at the head of a segment
	offset := func(i int) int64 {
		if i >= gap {
			i += spare
		}
		return int64(i)
	}
	whole := newKnown(0)
	var states []openGrants
	for i, r := range list {
		if m := whole.mark(); m != nil && r.Token > 0 && i%3 > 0 { // some writers know nothing
			r.Read = m
		}
		whole.add(offset(i), r)
		if !whole.complete() {
			t.Fatal("the whole log is not enough")
		}
		states = append(states, whole.open)
	}
	read := 0
	from := func(first int, k known) {
		for i, r := range list[first:] {
			k.add(offset(first+i), r)
			if !k.complete() {
				continue
			}
			read++
			if got, want := k.open.String(), states[first+i].String(); got != want {
				t.Errorf("from %d to %d: open are %s, want %s", k.begin, offset(first+i), got, want)
			}
			if k.later != nil {
				t.Error("it keeps what it has taken in")
			}
		}
	}
	for first := range list {
		from(first, newKnown(-1)) // at the last chunk
		from(first, newKnown(offset(first)))
	}
	from(gap, newKnown(gap))
	if read < len(list) {
		t.Errorf("complete only %d times", read)
	}
}

func TestAMarkWithoutOpenGrantsIsNotEnough(t *testing.T) {
	t.Parallel()
	k := newKnown(-1)
	without := marked(5, 8, 9)
	without.Read.Open = nil
	k.add(9, without)
	if k.complete() || k.top != 9 {
		t.Errorf("complete is %t, top %d", k.complete(), k.top)
	}
	k = newKnown(0)
	for i := range maxMarked {
		k.add(int64(i), &Record{
			Type: TypeGrant, Kind: wire.Mutex, ID: fmt.Sprint(i), Token: int64(i + 1),
		})
		if m := k.mark(); m.Open == nil || len(m.Open) != i+1 {
			t.Fatalf("behind %d grants the mark has %d", i+1, len(m.Open))
		}
	}
	k.add(maxMarked, &Record{Type: TypeGrant, Kind: wire.Mutex, ID: "last", Token: maxMarked + 1})
	if m := k.mark(); m.Open != nil {
		t.Error("a mark is too long")
	}
}

func TestALogWithoutOpenGrantsSaysSo(t *testing.T) {
	t.Parallel()
	k := newKnown(0)
	k.add(0, records("?a")[0])
	body, err := Record{Type: TypeGrant, Kind: wire.Mutex, ID: "b", Read: k.mark()}.encode()
	if err != nil || !strings.Contains(string(body), `"open":[]`) {
		t.Errorf("%s, %v", body, err)
	}
	if r, err := decode(body); err != nil || r.Read.Open == nil {
		t.Errorf("decoded %+v, %v", r, err)
	}
}

// At the head of each segment the broker leaves out an offset.
func TestOpenGrantsOutliveASegment(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	l.kind = wire.Semaphore
	grantFor(t, l, Record{ID: "long", Slots: []int{1}, Regain: 1000})
	text := strings.Repeat("x", maxText)
	large := Record{
		Slots: []int{2}, Host: text, User: text, Command: text, Job: text,
		Metadata: map[string]string{"x": strings.Repeat("x", maxMetadata-1)},
	}
	last := int64(0)
	for i := range 120 { // of two records, so that they fill four segments
		large.ID = fmt.Sprint(i)
		granted, _ := grantFor(t, l, large)
		over := large
		over.Type, over.Kind, over.Read = TypeEnd, l.kind, granted.Read
		mustAppend(t, l, over)
		tail, err := l.Open(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		<-tail.warmed
		last = tail.known.to
		if got := tail.known.open.String(); !strings.HasPrefix(got, "long1") {
			t.Errorf("up to %d open are %q", last, got)
		}
		tail.Close()
	}
	entries, err := l.collect(deadline(t), 0, last)
	if err != nil {
		t.Fatal(err)
	}
	gaps := 0
	for i := 1; i < len(entries); i++ {
		switch entries[i].offset - entries[i-1].offset {
		case 1:
		case 1 + spare:
			gaps++
		default:
			t.Errorf("behind %d comes %d", entries[i-1].offset, entries[i].offset)
		}
	}
	if gaps < 3 {
		t.Errorf("%d segments have begun", gaps)
	}
}
