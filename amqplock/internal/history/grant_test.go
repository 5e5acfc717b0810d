package history

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// ledger notes tokens in an order in which they have to grow. A token is larger than
// those that were given out before its contender asked for it.
type ledger struct {
	mu     sync.Mutex
	top    int64
	tokens []int64
}

func (l *ledger) given() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.top
}

func (l *ledger) note(before, token int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if token <= before {
		return fmt.Errorf("token %d after %d", token, before)
	}
	l.top = max(l.top, token)
	l.tokens = append(l.tokens, token)
	return nil
}

// grantsEach is how many grants each contender takes at least. AMQPRUN_TEST_GRANTS makes
// a long run of it.
func grantsEach() int {
	if n, err := strconv.Atoi(os.Getenv("AMQPRUN_TEST_GRANTS")); err == nil {
		return n
	}
	return 3
}

// There are 20 contenders, whose clocks are wrong by up to an hour. The log is deleted
// twice at least, so that a slow machine takes fewer grants and not more time.
func TestTokensGrowWhateverTheClocksSay(t *testing.T) {
	const contenders = 20
	each := grantsEach()
	l := testLog(t)
	var all ledger
	var deletions atomic.Int32
	var group errgroup.Group
	patience := time.Minute + time.Duration(each)*time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i := range contenders {
		mine := l.at(t, time.Duration(i-contenders/2)*6*time.Minute)
		group.Go(func() error {
			for n := 0; n < each || deletions.Load() < 2; n++ {
				before := all.given()
				id := fmt.Sprintf("%d-%d", i, n)
				granted, err := grant(ctx, mine, id)
				for err != nil && mine.conn.IsClosed() {
					// RabbitMQ closes a connection (541) that begins to read a stream
					// which is just being deleted.
					mine = l.at(t, time.Duration(i-contenders/2)*6*time.Minute)
					granted, err = grant(ctx, mine, id)
				}
				if err != nil {
					return err
				}
				if err := all.note(before, granted.Token); err != nil {
					return fmt.Errorf("%s: %w", id, err)
				}
				if n%3 > 0 { // others leave no end
					if err := mine.Append(ctx, end(granted)); err != nil && !isGone(err) &&
						!mine.conn.IsClosed() {
						return err
					}
				}
			}
			return nil
		})
	}
	done := make(chan error, 1)
	go func() { done <- group.Wait() }()
	for deleted := time.Now(); ; {
		awaitLog(t, l, deleted, done)
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(all.tokens)
			given := len(all.tokens)
			if distinct := len(slices.Compact(all.tokens)); distinct != given {
				t.Errorf("%d distinct tokens, want %d", distinct, given)
			}
			return
		case <-time.After(newLogLift * time.Millisecond): // a younger log must not be deleted
			deleteQueue(t, l)
			deleted = time.Now()
			deletions.Add(1)
		}
	}
}

// A reader that has to go back to the beginning of a log knows little of it at first.
func TestOnlyTheFirstTokenOfALogIsAheadOfTheClock(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	first := mustGrant(t, l, "a")
	unfenced := end(first)
	unfenced.Token, unfenced.Read = 0, nil
	mustAppend(t, l, unfenced)
	second := mustGrant(t, l, "b")
	// A slow machine may come to it when the clock has caught up.
	if want := max(first.Token+1, second.At.UnixMilli()); second.Token != want {
		t.Errorf("token %d after %d, want %d", second.Token, first.Token, want)
	}
}

// awaitLog returns when a log has its first token since an instant, or done has
// something. On a busy machine a log exists for seconds before that, and one that is
// deleted can be read for a while. The broker's time is known to 1.5 s.
func awaitLog(t *testing.T, l *Log, since time.Time, done <-chan error) {
	t.Helper()
	isFirst := func(run Run) bool {
		return run.Grant != nil && run.Grant.lifted() && run.Grant.At.After(since.Add(-2*time.Second))
	}
	for len(done) == 0 {
		conn := testConn(t) // see above: reading may cost it
		runs, err := l.on(conn).Runs(deadline(t), math.MaxInt16)
		conn.Close()
		if err == nil && slices.ContainsFunc(runs, isFirst) {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}
