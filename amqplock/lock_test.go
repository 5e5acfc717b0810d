package amqplock

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/internal/held"
	"github.com/amqprun/amqprun/internal/sys"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	var e *Error
	if _, err := New(Broker{URLs: []string{"http://localhost/"}}); !errors.As(err, &e) ||
		!errors.Is(err, ErrConfig) {
		t.Errorf("got %v, want an *Error of kind ErrConfig", err)
	}
	c := newClient(t, Broker{})
	for what, err := range map[string]error{
		"name":         c.Check(Mutex("amq.x")),
		"kind":         c.Check(Ref{Name: "x"}),
		"count":        c.Check(Mutex("x"), WithCount(2)),
		"greedy":       c.Check(Semaphore("x"), WithGreedy(), WithCount(2)),
		"stop time":    c.Check(Mutex("x"), WithStopTime(time.Minute)),
		"check":        c.Check(Mutex("x"), WithCheckInterval(-1)),
		"slots":        c.Check(Semaphore("x"), WithSlots(MaxSlots+1)),
		"CheckName":    CheckName(""),
		"Resize":       c.Semaphore("x").Resize(t.Context(), -1),
		"Resize name":  c.Semaphore("").Resize(t.Context(), 1),
		"Inspect name": second(c.Inspect(t.Context(), Mutex(""))),
	} {
		if !errors.As(err, &e) || !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v, want an *Error of kind ErrConfig", what, err)
		}
	}
	if err := c.Check(Semaphore("x"), WithElastic(nil), WithSlots(2),
		WithStopTime(5*time.Second)); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

// Every error is an *Error, also one that the caller caused; that keeps its cause.
func TestEveryErrorIsAnError(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	c := testClient(t)
	lock := testMutex()
	for what, test := range map[string]struct{ err, kind error }{
		"Acquire":    {second(c.Acquire(ctx, lock)), ErrNotAcquired},
		"TryAcquire": {second(c.TryAcquire(ctx, lock)), ErrNotAcquired},
		"Do":         {c.Do(ctx, lock, func(context.Context) error { return nil }), ErrNotAcquired},
		"Inspect":    {second(c.Inspect(ctx, lock)), ErrCanceled},
		"InspectAll": {second(c.InspectAll(ctx)), ErrCanceled},
		"Look":       {second(c.Look(ctx, lock)), ErrCanceled},
		"Holders":    {second(c.Holders(ctx, lock)), ErrCanceled},
		"History":    {second(c.History(ctx, lock, 1)), ErrCanceled},
		"Evict":      {c.Evict(ctx, lock, "x", "y"), ErrCanceled},
		"Adjust":     {c.Semaphore("x").Adjust(ctx, 1), ErrCanceled},
		"Drain":      {c.Semaphore("x").Drain(ctx, 1), ErrCanceled},

		"FollowHistory": {c.FollowHistory(ctx, lock, 1, func(Run) {}), ErrCanceled},
		"DestroyMutex":  {c.DestroyMutex(ctx, lock.Name), ErrCanceled},
	} {
		var e *Error
		if !errors.As(test.err, &e) || !errors.Is(test.err, test.kind) || !errors.Is(test.err, why) {
			t.Errorf("%s: %v, want an *Error of kind %v with the cause", what, test.err, test.kind)
		}
	}
}

func TestContextDerivesFromItsParent(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	type key struct{}
	why := errors.New("the program ends")
	parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	lock := mustAcquire(t, c, testMutex(), WithContext(parent))
	if lock.Context().Value(key{}) != "value" {
		t.Error("the context has not the values of its parent")
	}
	cancel(why)
	if got := context.Cause(lock.Context()); !errors.Is(got, why) {
		t.Errorf("the cause is %v, want that of the parent", got)
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Errorf("the lock is not checked any more: %v", err)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Errorf("the end of the parent is no loss: %v", err)
	}
}

func TestContextOfALoss(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	ref := testSemaphore(t, c)
	id := "lost-" + ref.Name
	lock := mustAcquire(t, c, ref, WithSlots(1), present(id))
	if ttl := lock.TTL(); ttl <= 0 || ttl > 19*time.Second {
		t.Errorf("a TTL of %s", ttl)
	}
	seen(t, c, ref, []string{id}, nil)
	if err := c.Evict(t.Context(), ref, id, "me"); err != nil {
		t.Fatal(err)
	}
	lost := waitLost(t, lock)
	if lost.Lock != `slot 1 of `+ref.String() || lost.Broker != lock.Node() ||
		!strings.HasPrefix(lost.Reason, "evicted by me") || lost.Age <= 0 {
		t.Errorf("%+v", lost)
	}
	if ttl := lock.TTL(); ttl != 0 {
		t.Errorf("a lost lock has a TTL of %s", ttl)
	}
	for what, err := range map[string]error{
		"Verify": lock.Verify(t.Context()), "Release": lock.Release(t.Context()),
		"Release again": lock.Release(t.Context()),
	} {
		if got := (*Error)(nil); !errors.As(err, &got) || *got != *lost {
			t.Errorf("%s: %v, want %v", what, err, lost)
		}
	}
}

func TestDo(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	ref := testSemaphore(t, c)
	why := errors.New("the work failed")
	err := c.Do(t.Context(), ref, func(ctx context.Context) error {
		if _, err := c.TryAcquire(ctx, ref); !errors.Is(err, ErrNotAcquired) {
			t.Errorf("the lock is free while the work goes on: %v", err)
		}
		return why
	}, WithSlots(1))
	if !errors.Is(err, why) || errors.Is(err, ErrLost) {
		t.Errorf("got %v, want the error of the work", err)
	}
	err = c.Do(t.Context(), ref, func(ctx context.Context) error {
		if err := c.Semaphore(ref.Name).Adjust(t.Context(), -1); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		return why // not the loss
	})
	if !errors.Is(err, why) || !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want the error of the work and the loss", err)
	}
	if err := c.Do(t.Context(), testMutex(), func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestDoReleasesWhenTheWorkPanics(t *testing.T) {
	t.Parallel()
	c, ref := testClient(t), testMutex()
	func() {
		defer func() {
			if got := recover(); got != "oops" {
				t.Errorf("the panic is %v", got)
			}
		}()
		_ = c.Do(t.Context(), ref, func(context.Context) error { panic("oops") })
	}()
	lock, err := c.TryAcquire(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	mustRelease(t, lock)
}

// The seam of the guard.
func TestLeaseOfALock(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	lock := mustAcquire(
		t,
		c,
		testMutex(),
		WithStopTime(2*time.Second),
		WithCheckInterval(50*time.Millisecond),
	)
	if held.Of(t.Context()) != nil {
		t.Error("a context of no lock has a lease")
	}
	lease := held.Of(lock.Context())
	if lease == nil || lease.Socket() == nil {
		t.Fatal("no lease, or no socket")
	}
	if left := lease.Until() - sys.Boottime(); left <= 0 || left > 19*time.Second {
		t.Errorf("until %s from now", left)
	}
	stopAt := lease.StopAt() // it may be renewed before the other is read
	if grace := lease.Until() - stopAt; grace < 2*time.Second || grace > 19*time.Second {
		t.Errorf("stop at %s before", grace)
	}
	renewals := make(chan [2]time.Duration, 100)
	lease.OnRenew(func(stopAt, until time.Duration) {
		select {
		case renewals <- [2]time.Duration{stopAt, until}:
		default:
		}
	})
	first := <-renewals
	for range 3 {
		next := <-renewals
		if next[1] < first[1] || next[1]-next[0] != 2*time.Second {
			t.Errorf("from %v to %v", first, next)
		}
		first = next
	}
}

func TestNoSocket(t *testing.T) {
	t.Parallel()
	b := testBroker(t)
	b.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return struct{ net.Conn }{c}, err
	}
	lock := mustAcquire(t, newClient(t, b), testMutex())
	if held.Of(lock.Context()).Socket() != nil {
		t.Error("a socket of what is none")
	}
}

func TestElastic(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	ref := testSemaphore(t, c)
	changes := make(chan []int, 10)
	mustAcquire(t, c, ref, WithSlots(1), WithElastic(func(slots []int) { changes <- slots }))
	if err := c.Semaphore(ref.Name).Resize(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if got := <-changes; !slices.Equal(got, []int{1, 2}) {
		t.Errorf("holds %v", got)
	}
}

// The end of ctx in the middle of a request is the caller's doing, no fault of the
// broker.
func TestCanceledInTheMiddle(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	b := testBroker(t)
	b.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return stopper{c, func() { cancel(why) }}, err
	}
	_, err := newClient(t, b).Look(ctx, testMutex())
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrCanceled) || !errors.Is(err, why) ||
		errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want ErrCanceled with the cause", err)
	}
}

// stopper calls stop in place of the passive declare of a queue.
type stopper struct {
	net.Conn
	stop func()
}

func (s stopper) Write(p []byte) (int, error) {
	if len(p) > 11 && p[0] == 1 && p[8] == 50 && p[10] == 10 { // a method frame, queue.declare
		s.stop()
		return len(p), nil
	}
	return s.Conn.Write(p)
}
