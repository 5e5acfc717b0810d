package locker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// axe ends all connections of one party, as its death does, when it has sent so many
// methods.
type axe struct {
	via func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the network

	mu     sync.Mutex
	left   int
	conns  []net.Conn
	fallen bool
}

func (a *axe) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := a.via
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, conn)
	if a.fallen {
		_ = conn.Close()
	}
	wire := &wireConn{Conn: conn}
	wire.onMethod = a.count
	return wire, nil
}

// count is called after a method has been sent.
func (a *axe) count() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left--; a.left > 0 || a.fallen {
		return
	}
	a.fallen = true
	for _, conn := range a.conns {
		_ = conn.Close()
	}
}

// hasFallen locks, because a connection may count its last method after it was closed.
func (a *axe) hasFallen() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fallen
}

// slotNumbers are the slots that exist, 0 included, seen by a foreign client.
func slotNumbers(t *testing.T, name string, upTo int) (numbers []int) {
	t.Helper()
	s := testSession(
		t,
		Config{
			Broker: wire.Broker{URLs: []string{testURL(t)}},
			Ref:    wire.Ref{Kind: wire.Semaphore, Name: name},
		},
	)
	for i := range upTo + 1 {
		missing, err := s.Missing(t.Context(), wire.SlotQueue(name, i))
		if err != nil {
			t.Fatal(err)
		}
		if !missing {
			numbers = append(numbers, i)
		}
	}
	s.Abort()
	return numbers
}

// holesIn reports whether the slots are not 0, 1, 2, ...
func holesIn(numbers []int) bool {
	return len(numbers) > 0 && numbers[len(numbers)-1] != len(numbers)-1
}

// An administrator that is killed after any of the methods that it sends leaves slots
// without a hole. Their number is one that it passed through. The next administrator
// can work.
func TestKilledAdministratorLeavesNoHole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		from, to   int
		administer func(context.Context, Config) error
	}{
		{"change +3", 1, 4,
			func(ctx context.Context, cfg Config) error { return Adjust(ctx, cfg.Broker, cfg.Name, 3) }},
		{"change -3", 4, 1,
			func(ctx context.Context, cfg Config) error { return Adjust(ctx, cfg.Broker, cfg.Name, -3) }},
		{"change to 0", 2, 0,
			func(ctx context.Context, cfg Config) error { return Resize(ctx, cfg.Broker, cfg.Name, 0) }},
		{"change --drain --to", 3, 1,
			func(ctx context.Context, cfg Config) error { return DrainTo(ctx, cfg.Broker, cfg.Name, 1) }},
		{"change --to, up", 1, 3,
			func(ctx context.Context, cfg Config) error { return Resize(ctx, cfg.Broker, cfg.Name, 3) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t, wire.Semaphore)
			cfg.Log = nil
			for n := 1; ; n++ {
				if err := Resize(t.Context(), cfg.Broker, cfg.Name, c.from); err != nil {
					t.Fatalf("after %d methods: the next administrator: %v", n-1, err)
				}
				if got := slotNumbers(t, cfg.Name, 5); len(got) != c.from+1 || holesIn(got) {
					t.Fatalf("after %d methods: the next administrator left %v, want 0 to %d", n-1, got, c.from)
				}
				fate := &axe{left: n}
				mine := cfg
				mine.Dial = fate.dial
				err := c.administer(t.Context(), mine)
				got := slotNumbers(t, cfg.Name, 5)
				if holesIn(got) || len(got)-1 < min(c.from, c.to) || len(got)-1 > max(c.from, c.to) {
					t.Fatalf("killed after %d methods: slots %v", n, got)
				}
				if err == nil && len(got)-1 != c.to {
					t.Fatalf("killed after %d methods: success, but slots %v", n, got)
				}
				if !fate.hasFallen() {
					t.Logf("%d methods", n-1)
					return
				}
			}
		})
	}
}

// Two administrators work at once, and one is killed. The other does all of its work.
// The work that the first has done is a part of its own from the beginning.
func TestAdministratorKilledBesideAnother(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Log = nil
	for n := 1; ; n++ {
		if err := Resize(t.Context(), cfg.Broker, cfg.Name, 2); err != nil {
			t.Fatal(err)
		}
		fate := &axe{left: n}
		mine := cfg
		mine.Dial = fate.dial
		var both errgroup.Group
		both.Go(func() error {
			_ = Adjust(t.Context(), mine.Broker, mine.Name, 3) // it is killed
			return nil
		})
		both.Go(func() error {
			if err := Adjust(t.Context(), cfg.Broker, cfg.Name, -1); err != nil {
				return fmt.Errorf("killed after %d methods: the other one: %w", n, err)
			}
			return nil
		})
		if err := both.Wait(); err != nil {
			t.Fatal(err)
		}
		got := slotNumbers(t, cfg.Name, 6)
		if slots := len(got) - 1; holesIn(got) || slots < 1 || slots > 4 {
			t.Fatalf("killed after %d methods: slots %v, want 1 to 4", n, got)
		}
		if !fate.hasFallen() {
			if len(got)-1 != 4 {
				t.Errorf("nobody was killed: slots %v, want 4", got)
			}
			return
		}
	}
}

// A contender that is killed while it creates a semaphore leaves none, or all of it.
// The next one makes what is asked for.
func TestKilledCreatorLeavesNoPart(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		cfg := testConfig(t, wire.Semaphore)
		cfg.Log, cfg.Slots = nil, 3
		fate := &axe{left: n}
		mine := cfg
		mine.Dial = fate.dial
		if lock, err := TryAcquire(t.Context(), mine); err == nil {
			_ = lock.Release(t.Context())
		}
		seen, err := Look(t.Context(), cfg.Broker, cfg.Ref)
		if !errors.Is(err, fault.ErrNotFound) && (err != nil || seen.Slots != 3) {
			t.Errorf("killed after %d methods: %d slots, %v", n, seen.Slots, err)
		}
		if got := mustAcquire(t, cfg); got.Release(t.Context()) != nil {
			t.Error("the next one has lost its slot")
		}
		got := slotNumbers(t, cfg.Name, 5)
		if got[0] == 0 { // which the others do without
			got = got[1:]
		}
		if !slices.Equal(got, []int{1, 2, 3}) {
			t.Fatalf("killed after %d methods: the next one made %v, want 1 to 3", n, got)
		}
		if !fate.hasFallen() {
			t.Logf("%d methods", n-1)
			return
		}
	}
}

// The remains of a creation with more slots are no part of the next one.
func TestCreationForgetsALargerOne(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	for i := 2; i <= 5; i++ {
		if err := testSession(t, cfg).Requests.Create(wire.SlotQueue(cfg.Name, i)); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Slots = 2
	mustAcquire(t, cfg)
	if got := slotNumbers(t, cfg.Name, 5); len(got) != 3 || holesIn(got) {
		t.Errorf("slots %v, want 0 to 2", got)
	}
}
