package amqplock

import (
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// present is the option of a participant with that ID.
func present(id string) Option {
	return WithAbout(func() About {
		return About{ID: id, Host: "host of " + id, PID: 7, User: "user", Command: "command"}
	})
}

// ids returns the IDs of participants, "?" where they are unknown.
func ids(list []Participant) []string {
	ids := []string{}
	for _, p := range list {
		if p.Unknown {
			p.ID = "?"
		}
		ids = append(ids, p.ID)
	}
	return ids
}

// seen waits until Inspect sees these holders, as a set, and these waiters, in order. A
// waiter may show itself before it has its place.
func seen(t *testing.T, c *Client, lock Ref, holders, waiters []string) Status {
	t.Helper()
	var status Status
	slices.Sort(holders)
	waitFor(
		t,
		"to see "+strings.Join(holders, ", ")+" hold, "+strings.Join(waiters, ", ")+" wait",
		func() bool {
			var err error
			if status, err = c.Inspect(t.Context(), lock); err != nil {
				t.Fatal(err)
			}
			got := ids(status.Holders)
			slices.Sort(got)
			return slices.Equal(got, holders) && slices.Equal(ids(status.Waiters), waiters) &&
				!slices.ContainsFunc(status.Waiters, func(p Participant) bool { return p.Position == 0 })
		},
	)
	return status
}

// startWaiter waits for the lock in the background and gives it back at once; the end of
// the test ends it.
func startWaiter(t *testing.T, c *Client, lock Ref, opts ...Option) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		held, err := c.Acquire(ctx, lock, opts...)
		if err == nil {
			err = held.Release(context.Background())
		}
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A program may leave the ID out. Then the history has the one that Inspect shows.
func TestAnIDIsMadeUp(t *testing.T) {
	t.Parallel()
	c, lock := testClient(t), testMutex()
	forget(t, c, lock)
	about := WithAbout(func() About { return About{Host: "h"} })
	mustAcquire(t, c, lock, about, WithHistory())
	var shown Participant
	waitFor(t, "the holder to show itself", func() bool {
		status, err := c.Inspect(t.Context(), lock)
		if err != nil || len(status.Holders) != 1 {
			t.Fatalf("%+v, %v", status, err)
		}
		shown = status.Holders[0]
		return !shown.Unknown
	})
	runs := mustRead(t, c, lock, 1)
	if shown.Host != "h" || shown.ID == "" || len(runs) != 1 || runs[0].ID != shown.ID {
		t.Errorf("Inspect shows %+v, History %+v", shown, runs)
	}
}

func TestStatusShowsPriorities(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	ref := testMutex()
	mustAcquire(t, c, ref, present("holder"), WithPriority(3))
	for _, w := range []struct {
		id       string
		priority int
		line     []string
	}{
		{"plain", 0, []string{"plain"}},
		{"high", 9, []string{"high", "plain"}},
		{"low", -9, []string{"high", "plain", "low"}},
		{"second", 9, []string{"high", "second", "plain", "low"}},
	} {
		startWaiter(t, c, ref, present(w.id), WithPriority(w.priority))
		seen(t, c, ref, []string{"holder"}, w.line)
	}
	status := seen(t, c, ref, []string{"holder"}, []string{"high", "second", "plain", "low"})
	for i, want := range []int{9, 9, 0, -9} {
		if p := status.Waiters[i]; p.Priority != want || p.Position != i+1 {
			t.Errorf("%s: priority %d, position %d", p.ID, p.Priority, p.Position)
		}
	}
	if p := status.Holders[0].Priority; p != 0 {
		t.Errorf("the holder has priority %d", p)
	}
	for _, n := range []int{-101, 101} {
		if err := c.Check(ref, WithPriority(n)); !errors.Is(err, ErrConfig) {
			t.Errorf("priority %d: %v, want ErrConfig", n, err)
		}
	}
}

func TestStatusNamesHoldersAndWaitersInOrder(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	ref := testSemaphore(t, c)
	begun := time.Now()
	a := mustAcquire(t, c, ref, present("a"), WithSlots(3))
	mustAcquire(t, c, ref, present("b"))
	mustAcquire(t, c, ref) // one that says nothing of itself
	seen(t, c, ref, []string{"a", "b", "?"}, nil)
	startWaiter(t, c, ref, present("first"))
	seen(t, c, ref, []string{"a", "b", "?"}, []string{"first"})
	startWaiter(t, c, ref, present("second"))
	seen(t, c, ref, []string{"a", "b", "?"}, []string{"first", "second"})
	startWaiter(t, c, ref, present("third"))
	status := seen(t, c, ref, []string{"a", "b", "?"}, []string{"first", "second", "third"})
	if status.Version != 1 || status.Slots != 3 || status.Held != 3 || status.Free != 0 ||
		status.Waiting != 3 {
		t.Errorf("status %+v", status)
	}
	for i, w := range status.Waiters {
		if w.Position != i+1 || len(w.Slots) > 0 || w.Seconds <= 0 {
			t.Errorf("waiter %+v", w)
		}
	}
	holder := status.Holders[slices.Index(ids(status.Holders), "a")]
	want := Participant{
		Slots: a.Slots(), Since: holder.Since, Seconds: holder.Seconds,
		About: About{
			ID:       "a",
			Host:     "host of a",
			PID:      7,
			User:     "user",
			Command:  "command",
			Metadata: map[string]string{},
		},
	}
	if !reflect.DeepEqual(holder, want) {
		t.Errorf("holder %+v, want %+v", holder, want)
	}
	if holder.Since.Before(begun) || holder.Since.After(time.Now()) || holder.Seconds <= 0 ||
		holder.Seconds > time.Since(begun).Seconds() {
		t.Errorf("it has held since %s, %v s; the test began at %s", holder.Since, holder.Seconds, begun)
	}
}

func TestStatusFollowsTheGrant(t *testing.T) {
	t.Parallel()
	c, ref := testClient(t), testMutex()
	lock := mustAcquire(t, c, ref, present("a"))
	waiter := make(chan *Lock, 1)
	go func() {
		lock, err := c.Acquire(t.Context(), ref, present("b"))
		if err != nil {
			t.Error(err)
		}
		waiter <- lock
	}()
	status := seen(t, c, ref, []string{"a"}, []string{"b"})
	if status.Held != 1 || status.Free != 0 || !slices.Equal(status.Holders[0].Slots, []int{1}) {
		t.Errorf("status %+v", status)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := <-waiter
	status = seen(t, c, ref, []string{"b"}, nil)
	if status.Waiting != 0 {
		t.Errorf("status %+v", status)
	}
	if err := next.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status = seen(t, c, ref, nil, nil); status.Free != 1 {
		t.Errorf("status %+v", status)
	}
}

func TestAllLocksAreListed(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	semaphore := testSemaphore(t, c)
	mutex := Mutex(semaphore.Name) // two locks
	mustAcquire(t, c, semaphore, WithSlots(2), present("s"))
	mustAcquire(t, c, mutex, present("m"))
	want := map[Kind]string{KindMutex: "m", KindSemaphore: "s"}
	waitFor(t, "both locks are listed", func() bool {
		all, err := c.InspectAll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[Kind]string{}
		for _, status := range all {
			if status.Name == mutex.Name && len(status.Holders) == 1 {
				got[status.Kind] = status.Holders[0].ID
			}
		}
		return reflect.DeepEqual(got, want)
	})
}

func TestEvictStopsOneHolder(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	ref := testSemaphore(t, c)
	if err := c.Semaphore(ref.Name).Resize(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	a, b := mustAcquire(
		t,
		c,
		ref,
		present("evict-a-"+ref.Name),
	), mustAcquire(
		t,
		c,
		ref,
		present("evict-b-"+ref.Name),
	)
	startWaiter(t, c, ref, present("waiter-"+ref.Name))
	seen(
		t,
		c,
		ref,
		[]string{"evict-a-" + ref.Name, "evict-b-" + ref.Name},
		[]string{"waiter-" + ref.Name},
	)
	other := ref
	other.Name += "x"
	for _, test := range []struct {
		lock     Ref
		id, text string
	}{
		{ref, "nobody-" + ref.Name, "there is no such holder"},
		{other, "evict-a-" + ref.Name, "it holds or waits for semaphore"},
		{ref, "waiter-" + ref.Name, "it only waits"},
	} {
		if err := c.Evict(t.Context(), test.lock, test.id, "me"); !errors.Is(err, ErrNotFound) ||
			!strings.Contains(err.Error(), test.text) {
			t.Errorf("evict %s: %v, want ErrNotFound: %s", test.id, err, test.text)
		}
	}
	if err := context.Cause(a.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Evict(t.Context(), ref, "evict-a-"+ref.Name, "op@desk\x1b[2J"); err != nil {
		t.Fatal(err)
	}
	if lost := waitLost(t, a); !strings.HasPrefix(lost.Reason, "evicted by op@desk\ufffd[2J (user ") ||
		lost.Lock != a.String() {
		t.Errorf("lost: %v", lost)
	}
	if err := b.Verify(t.Context()); err != nil {
		t.Errorf("the other holder: %v", err)
	}
	if status, err := c.Look(t.Context(), ref); err != nil || status.Held != 2 {
		t.Errorf("the evicted gave its slot up before its work had stopped: %+v, %v", status, err)
	}
}

func TestPresenceReturnsWithThePublishConnection(t *testing.T) {
	t.Parallel()
	c, ref := testClient(t), testMutex()
	var publishing publishConns
	b := testBroker(t)
	b.Dial = publishing.dial
	lock := mustAcquire(t, newClient(t, b), ref, present("returns-"+ref.Name))
	seen(t, c, ref, []string{"returns-" + ref.Name}, nil)
	publishing.cut()
	waitFor(t, "a second publish connection", func() bool { return publishing.count() >= 3 })
	seen(t, c, ref, []string{"returns-" + ref.Name}, nil)
	if err := lock.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// publishConns keeps the connections after the first, which holds the mutex.
type publishConns struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (d *publishConns) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.conns = append(d.conns, c)
	}
	return c, err
}

func (d *publishConns) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

func (d *publishConns) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns[1:] {
		_ = c.Close()
	}
}

// A mutex has the one slot 1 here, as in Status.
func TestHoldersOfAMutex(t *testing.T) {
	t.Parallel()
	c, ref := testClient(t), testMutex()
	mustAcquire(t, c, ref, present("a"))
	waitFor(t, "the holder answers", func() bool {
		holders, err := c.Holders(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return len(holders) == 1 && holders[0].ID == "a" && slices.Equal(holders[0].Slots, []int{1})
	})
}

// A waiter for several slots keeps those that it has got. They have no holder, and can be
// freed by whoever may evict.
func TestACollectorIsSeenAndEvicted(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	ref := testSemaphore(t, c)
	mustAcquire(t, c, ref, present("holder"), WithSlots(3))
	leaver := mustAcquire(t, c, ref, present("leaver"))
	failed := make(chan error, 1)
	go func() {
		_, err := c.Acquire(t.Context(), ref, present("collector"), WithCount(3))
		failed <- err
	}()
	seen(t, c, ref, []string{"holder", "leaver"}, []string{"collector"})
	if err := leaver.Release(t.Context()); err != nil { // whose hint makes the other the first
		t.Fatal(err)
	}
	var status Status
	waitFor(t, "the collector to keep two slots", func() bool {
		var err error
		if status, err = c.Inspect(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		return len(status.Waiters) == 1 && len(status.Waiters[0].Collected) == 2
	})
	if status.Slots != 3 || status.Held != 3 || len(status.Waiters[0].Slots) != 0 {
		t.Errorf("status: %+v", status)
	}
	if err := c.Evict(t.Context(), ref, "collector", "me"); err != nil {
		t.Fatal(err)
	}
	err := <-failed
	if !errors.Is(err, ErrNotAcquired) || !strings.Contains(err.Error(), "evicted by me") {
		t.Errorf("the collector: %v, want ErrNotAcquired, evicted by me", err)
	}
	if status = seen(t, c, ref, []string{"holder"}, nil); status.Free != 2 {
		t.Errorf("%d slots are free, want 2", status.Free)
	}
}
