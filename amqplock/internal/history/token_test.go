package history

import (
	"errors"
	"testing"
	"time"
)

// at is a record that may be met at some offset.
type met struct {
	offset int64
	record *Record
}

func knownOf(list ...met) known {
	k := newKnown(-1)
	for _, m := range list {
		k.add(m.offset, m.record)
	}
	return k
}

func token(t int64) *Record { return &Record{Token: t, At: time.UnixMilli(t)} }

// first is the first grant of a log, made at the time now.
func first(now int64) *Record {
	return &Record{Token: now + newLogLift, At: time.UnixMilli(now)}
}

func marked(t, offset, top int64) *Record {
	m := &Mark{Offset: offset, Token: top, Open: openGrants{}}
	return &Record{Token: t, At: time.UnixMilli(t), Read: m}
}

func TestWhatARecordSaysMakesReadingFromTheBeginningNeedless(t *testing.T) {
	const back = 64
	for _, test := range []struct {
		name     string
		known    known
		complete bool
		start    int64
	}{
		{"nothing", knownOf(), false, 0},
		{"the first record", knownOf(met{0, token(5)}), true, 0},
		{"one that knows all before it", knownOf(met{9, marked(5, 8, 4)}), true, 9},
		{"one that knows less", knownOf(met{9, marked(5, 6, 4)}), false, 7},

		{"garbage", knownOf(met{900, nil}), false, 900 - back},
		{"garbage near the beginning", knownOf(met{9, nil}), false, 0},
		{"one that knows too much", knownOf(met{900, marked(5, 900, 4)}), false, 900 - back},
		{"the better of two", knownOf(met{9, marked(5, 3, 4)}, met{10, marked(5, 8, 6)}), true, 9},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.known.complete(); got != test.complete {
				t.Errorf("complete is %t, want %t", got, test.complete)
			}
			if got := test.known.start(back); got != test.start {
				t.Errorf("reading begins at %d, want %d", got, test.start)
			}
		})
	}
}

func TestATokenIsTheClocksUnlessTheLogIsAhead(t *testing.T) {
	const now = 1_800_000_000_000
	for _, test := range []struct {
		name  string
		known known
		want  int64
	}{
		{"nothing read", knownOf(), now},
		{"behind the clock", knownOf(met{900, marked(now-5, 899, now-9)}), now},
		{"ahead of the clock", knownOf(met{900, marked(now+5, 899, now-9)}), now + 6},
		{"a mark is ahead", knownOf(met{900, marked(now-5, 899, now+9)}), now + 10},
		{"a new log", knownOf(met{0, token(now - 5)}), now + newLogLift},

		{"its first token", knownOf(met{0, first(now - newLogLift - 5)}), now},
		{"soon after its first token", knownOf(met{0, first(now - 5)}), now + newLogLift - 4},
		{"a new log that is ahead", knownOf(met{0, token(now + 9000)}), now + 9001},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.known.next(now)
			if err != nil || got != test.want {
				t.Errorf("got %d, %v, want %d", got, err, test.want)
			}
		})
	}
}

func TestATokenThatLeavesNoLargerOnesIsRefused(t *testing.T) {
	k := knownOf(met{900, marked(maxToken, 899, 4)})
	if _, err := k.next(1); !errors.Is(err, errNoToken) {
		t.Errorf("got %v", err)
	}
}

func TestAGrantIsValidBehindSmallerTokensOnly(t *testing.T) {
	before := knownOf(met{900, marked(50, 899, 40)})
	for token, want := range map[int64]bool{49: false, 50: false, 51: true} {
		k := before
		k.add(901, marked(token, 900, 50))
		if got := k.valid(before, token, 45); got != want {
			t.Errorf("behind 50, %d is valid: %t, want %t", token, got, want)
		}
	}
	first := knownOf(met{0, token(50)})
	if first.valid(newKnown(-1), 50, 45) {
		t.Error("the first grant of a log may be behind the tokens of one that was deleted")
	}
}
