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

// present is cfg for a participant with that ID.
func present(cfg Config, id string) Config {
	cfg.About = func() About { return About{ID: id, Host: "host of " + id, PID: 7, User: "user", Command: "command"} }
	return cfg
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

// seen waits until Inspect sees these holders, as a set, and these waiters, in order.
func seen(t *testing.T, cfg Config, holders, waiters []string) Status {
	t.Helper()
	var status Status
	slices.Sort(holders)
	waitFor(t, "to see "+strings.Join(holders, ", ")+" hold, "+strings.Join(waiters, ", ")+" wait", func() bool {
		var err error
		if status, err = Inspect(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		got := ids(status.Holders)
		slices.Sort(got)
		return slices.Equal(got, holders) && slices.Equal(ids(status.Waiters), waiters)
	})
	return status
}

// startWaiter waits for the lock in the background and gives it back at once; the end of the test ends it.
func startWaiter(t *testing.T, cfg Config) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		lock, err := Acquire(ctx, cfg)
		if err == nil {
			err = lock.Release(context.Background())
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

func TestStatusNamesHoldersAndWaitersInOrder(t *testing.T) {
	cfg := testConfig(t, Semaphore)
	cfg.Slots = 3
	a := mustAcquire(t, present(cfg, "a"))
	mustAcquire(t, present(cfg, "b"))
	mustAcquire(t, cfg) // who tells nothing
	seen(t, cfg, []string{"a", "b", "?"}, nil)
	startWaiter(t, present(cfg, "first"))
	seen(t, cfg, []string{"a", "b", "?"}, []string{"first"})
	startWaiter(t, present(cfg, "second"))
	seen(t, cfg, []string{"a", "b", "?"}, []string{"first", "second"})
	startWaiter(t, present(cfg, "third"))
	status := seen(t, cfg, []string{"a", "b", "?"}, []string{"first", "second", "third"})
	if status.Version != 1 || status.Slots != 3 || status.Held != 3 || status.Free != 0 || status.Waiting != 3 {
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
		About: About{ID: "a", Host: "host of a", PID: 7, User: "user", Command: "command", Metadata: map[string]string{}},
	}
	if !reflect.DeepEqual(holder, want) {
		t.Errorf("holder %+v, want %+v", holder, want)
	}
	if ago := time.Since(holder.Since); ago <= 0 || ago > time.Minute || holder.Seconds <= 0 || holder.Seconds > 60 {
		t.Errorf("it has held since %s, %v s", holder.Since, holder.Seconds)
	}
}

func TestStatusFollowsTheGrant(t *testing.T) {
	cfg := testConfig(t, Mutex)
	lock := mustAcquire(t, present(cfg, "a"))
	waiter := make(chan *Lock, 1)
	go func() {
		lock, err := Acquire(t.Context(), present(cfg, "b"))
		if err != nil {
			t.Error(err)
		}
		waiter <- lock
	}()
	status := seen(t, cfg, []string{"a"}, []string{"b"})
	if status.Held != 1 || status.Free != 0 || !slices.Equal(status.Holders[0].Slots, []int{1}) {
		t.Errorf("status %+v", status)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := <-waiter
	status = seen(t, cfg, []string{"b"}, nil)
	if status.Waiting != 0 {
		t.Errorf("status %+v", status)
	}
	if err := next.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status = seen(t, cfg, nil, nil); status.Free != 1 {
		t.Errorf("status %+v", status)
	}
}

func TestAllLocksAreListed(t *testing.T) {
	mutex, semaphore := testConfig(t, Mutex), testConfig(t, Semaphore)
	semaphore.Slots = 2
	mutex.Name = semaphore.Name // two locks
	mustAcquire(t, present(semaphore, "s"))
	mustAcquire(t, present(mutex, "m"))
	want := map[Kind]string{Mutex: "m", Semaphore: "s"}
	waitFor(t, "both locks are listed", func() bool {
		all, err := InspectAll(t.Context(), mutex.Broker, t.Logf)
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
	cfg := testConfig(t, Semaphore)
	cfg.Slots = 2
	a, b := mustAcquire(t, present(cfg, "evict-a-"+cfg.Name)), mustAcquire(t, present(cfg, "evict-b-"+cfg.Name))
	startWaiter(t, present(cfg, "waiter-"+cfg.Name))
	seen(t, cfg, []string{"evict-a-" + cfg.Name, "evict-b-" + cfg.Name}, []string{"waiter-" + cfg.Name})
	other := cfg
	other.Name += "x"
	for _, c := range []struct {
		cfg      Config
		id, text string
	}{
		{cfg, "nobody-" + cfg.Name, "there is no such holder"},
		{other, "evict-a-" + cfg.Name, "it has to do with semaphore"},
		{cfg, "waiter-" + cfg.Name, "it only waits"},
	} {
		if err := Evict(t.Context(), c.cfg, c.id, "me"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("evict %s: %v, want ErrNotFound: %s", c.id, err, c.text)
		}
	}
	if err := context.Cause(a.Context()); err != nil {
		t.Fatal(err)
	}
	if err := Evict(t.Context(), cfg, "evict-a-"+cfg.Name, "op@desk\x1b[2J"); err != nil {
		t.Fatal(err)
	}
	if lost := waitLost(t, a); lost.Reason != "evicted by op@desk\ufffd[2J" || lost.Lock != a.String() {
		t.Errorf("lost: %v", lost)
	}
	if err := b.Verify(t.Context()); err != nil {
		t.Errorf("the other holder: %v", err)
	}
	if status, err := Look(t.Context(), cfg); err != nil || status.Held != 2 {
		t.Errorf("the evicted gave its slot up before its work had stopped: %+v, %v", status, err)
	}
}

func TestPresenceReturnsWithTheTalkConnection(t *testing.T) {
	cfg := testConfig(t, Mutex)
	var talks talkConns
	mine := present(cfg, "returns-"+cfg.Name)
	mine.Dial = talks.dial
	lock := mustAcquire(t, mine)
	seen(t, cfg, []string{"returns-" + cfg.Name}, nil)
	talks.cut()
	waitFor(t, "a second talk connection", func() bool { return talks.count() >= 3 })
	seen(t, cfg, []string{"returns-" + cfg.Name}, nil)
	if err := lock.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// talkConns keeps the connections after the first, which holds the mutex.
type talkConns struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (d *talkConns) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.conns = append(d.conns, c)
	}
	return c, err
}

func (d *talkConns) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

func (d *talkConns) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns[1:] {
		_ = c.Close()
	}
}

// A mutex has the one slot 1 here, as in Status.
func TestHoldersOfAMutex(t *testing.T) {
	cfg := testConfig(t, Mutex)
	mustAcquire(t, present(cfg, "a"))
	waitFor(t, "the holder answers", func() bool {
		holders, err := Holders(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return len(holders) == 1 && holders[0].ID == "a" && slices.Equal(holders[0].Slots, []int{1})
	})
}
