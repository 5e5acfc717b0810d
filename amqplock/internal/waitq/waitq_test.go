package waitq

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testWaiter waits for a mutex that no other test has. try may be nil.
func testWaiter(t *testing.T, name string, try func(context.Context, bool) error) *Waiter {
	t.Helper()
	b := wire.Broker{URLs: []string{testbroker.URL(t)}, Log: testbroker.Log(t)}
	link, err := wire.Connect(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Abort)
	return &Waiter{
		Queue: Queue{Lock: wire.Ref{Kind: wire.Mutex, Name: name}, Link: link, Look: LookEvery},
		Retry: FirstRetry,
		Try:   try, PutBack: func(context.Context) {}, why: fault.ErrBusy,
	}
}

// Who stands behind others has the first in the queue try so rarely that many together do
// it no more often than one would.
func TestNextRetry(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		place       *Place
		first       bool
		ahead       int
		early, late time.Duration // after the first failure, and after many
	}{
		{"no queue", nil, false, 0, FirstRetry, LastRetry},
		{"alone", &Place{}, false, 0, FirstRetry, LastRetry},
		{"first", &Place{}, true, 7, FirstRetry, LastRetry},
		{"second", &Place{}, false, 1, 2 * LastRetry, 2 * LastRetry},
		{"tenth", &Place{}, false, 9, 10 * LastRetry, 10 * LastRetry},
		{"far behind", &Place{}, false, 999, rareRetry, rareRetry},
	} {
		w := &Waiter{Retry: FirstRetry, Queue: Queue{first: test.first, ahead: test.ahead}}
		for d, want := range map[time.Duration]time.Duration{FirstRetry: test.early,
			LastRetry: test.late} {
			if got := w.nextRetry(test.place, backoff.NewConstantBackOff(d)); got != want {
				t.Errorf("%s: %v where the first takes %v, want %v", test.name, got, d, want)
			}
		}
	}
}

// A waiter that loses a place far behind others tries by itself from then on. It does
// not keep the slow interval of its old place.
func TestLostPlaceIsNoReasonToWaitForLong(t *testing.T) {
	t.Parallel()
	tried := false
	w := testWaiter(t, testbroker.Name(), func(context.Context, bool) error {
		tried = true
		return fault.ErrBusy
	})
	channel := w.open(t.Context())
	w.ahead = 60
	hints := make(chan amqp.Delivery)
	close(hints)
	ctx, cancel := context.WithTimeout(t.Context(), testbroker.Patience)
	defer cancel()
	pace := backoff.NewConstantBackOff(time.Millisecond)
	err := w.stand(ctx, &Place{channel, hints}, time.Hour, pace)
	if !errors.Is(err, errPlaceLost) || !tried {
		t.Errorf("tried %t: %v", tried, err)
	}
}

// A releaser that found the queue unused has removed it: a waiter that comes to join then
// has to try again.
func TestJoinARemovedQueue(t *testing.T) {
	t.Parallel()
	name := testbroker.Name()
	w := testWaiter(t, name, nil)
	channel := w.open(t.Context())
	if channel == nil {
		t.Fatal("no queue")
	}
	handBack := func() error {
		if err := w.Link.Requests.Claim(name); err != nil {
			t.Fatal(err)
		}
		return w.Link.Requests.HandBack(nil, []string{name}, wire.WaitQueue(name))
	}
	if err := handBack(); err != nil {
		t.Errorf("an unused queue was not removed: %v", err)
	}
	if _, err := w.join(t.Context(), channel); !wire.Absent(err) {
		t.Errorf("joining a removed queue: %v, want 404", err)
	}
	if _, err := w.join(t.Context(), w.open(t.Context())); err != nil {
		t.Errorf("joining again: %v", err)
	}
	if err := handBack(); !wire.Concerns(err, wire.WaitQueue(name)) {
		t.Errorf("a queue with a waiter was removed: %v", err)
	}
	if err := w.Link.Requests.Claim(name); err != nil {
		t.Errorf("the lock is not free although only the wait queue was in use: %v", err)
	}
}

// Those who declared the queue before anybody stood in it know of one another when they
// have joined.
func TestThoseWhoJoinTogetherShareTheTries(t *testing.T) {
	t.Parallel()
	name := testbroker.Name()
	first, second := testWaiter(t, name, nil), testWaiter(t, name, nil)
	channels := map[*Waiter]*amqp.Channel{
		first:  first.open(t.Context()),
		second: second.open(t.Context()),
	}
	for i, w := range []*Waiter{first, second} {
		if _, err := w.join(t.Context(), channels[w]); err != nil {
			t.Fatal(err)
		}
		if w.ahead != i {
			t.Errorf("%d are said to stand ahead of number %d", w.ahead, i)
		}
	}
}

// resetOnly is a backoff that gives no more tries until it is reset: one that has waited
// for long.
type resetOnly struct {
	reset bool
	tries int // the slow ones
}

func (b *resetOnly) Reset() { b.reset = true }

func (b *resetOnly) NextBackOff() time.Duration {
	if b.reset {
		b.tries++
		return time.Millisecond
	}
	return time.Hour
}

// A hint may come before the broker has done what it is about. The removal of a dead
// holder's queue has to get through the metadata store. A hint of a release may have
// replaced that of the crash. So some quick tries follow any hint. Then the slow tries
// begin anew, and do not wait as long as they do in the end.
func TestTriesBeginAnewAfterAHintInVain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		queue func(string) string
	}{{"release", wire.WaitQueue}, {"crash", wire.WillQueue}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name, tries := testbroker.Name(), 0
			w := testWaiter(t, name, func(context.Context, bool) error {
				if tries++; tries > 1+len(afterHint) {
					return nil
				}
				return fault.ErrBusy
			})
			place, err := w.join(t.Context(), w.open(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			channel, err := w.Link.Publish().Channel()
			if err != nil {
				t.Fatal(err)
			}
			will := wire.WillQueue(name)
			if _, err := channel.QueueDeclare(will, true, false, false, false,
				wire.WillArgs(name)); err != nil {
				t.Fatal(err)
			}
			if err := channel.Publish("", c.queue(name), true, false, amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), testbroker.Patience)
			defer cancel()
			slow := &resetOnly{}
			err = w.stand(ctx, place, time.Hour, slow)
			if err != nil || tries != 2+len(afterHint) || slow.tries != 1 || ctx.Err() != nil {
				t.Errorf("%d tries, %d of them slow, %v; want %d, the last slow", tries, slow.tries, err,
					2+len(afterHint))
			}
			w.Left(ctx)
		})
	}
}

// A waiter that took a slot passes its hint on. The next waiter tries once, and not often
// after each hand-over.
func TestNoQuickTriesAfterAHintPassedOn(t *testing.T) {
	t.Parallel()
	name, tries := testbroker.Name(), 0
	first := testWaiter(t, name, nil)
	w := testWaiter(t, name, func(context.Context, bool) error {
		if tries++; tries > 1 {
			return nil
		}
		return fault.ErrBusy
	})
	passing, err := first.join(t.Context(), first.open(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	place, err := w.join(t.Context(), w.open(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	err = w.Link.Messages().Do(func(ch *amqp.Channel) error { return wake(ch, name) })
	if err != nil {
		t.Fatal(err)
	}
	<-passing.hints
	if err := passing.leave(); err != nil {
		t.Fatal(err)
	}
	slow := &resetOnly{}
	err = w.stand(t.Context(), place, time.Hour, slow)
	if err != nil || tries != 2 || slow.tries != 1 {
		t.Errorf("%d tries, %d of them slow, %v; want 2, the last slow", tries, slow.tries, err)
	}
	w.Left(t.Context())
}

// A broker in an alarm is one warning, and no reason to give up.
func TestAlarmWarnsOnce(t *testing.T) {
	t.Parallel()
	var warned []string
	w := testWaiter(t, testbroker.Name(), func(context.Context, bool) error {
		return wire.Refused("amqp://h:5672", "publish", &wire.AlarmError{Reason: "memory"})
	})
	w.Link.Broker.Log = slog.New(warnings{&warned})
	for range 2 {
		if err := w.try(t.Context()); !errors.Is(err, fault.ErrBusy) {
			t.Errorf("the wait ends: %v", err)
		}
	}
	want := "waiting for " + w.Lock.String() + " until " + w.Link.Lock.Broker +
		" can report whether it is free: "
	if len(warned) != 1 || len(warned[0]) < len(want) || warned[0][:len(want)] != want {
		t.Errorf("warned %q, want %q once", warned, want)
	}
}

// warnings collects the warnings that are logged.
type warnings struct{ all *[]string }

func (w warnings) Enabled(
	_ context.Context,
	level slog.Level,
) bool {
	return level >= slog.LevelWarn
}
func (w warnings) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w warnings) WithGroup(string) slog.Handler      { return w }

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	*w.all = append(*w.all, r.Message)
	return nil
}
