package locker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// holdAll makes a semaphore with so many slots, all of which its session holds.
func holdAll(t *testing.T, cfg Config, slots int) *wire.Link {
	t.Helper()
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, slots); err != nil {
		t.Fatal(err)
	}
	holder := testSession(t, cfg)
	for i := range slots {
		if err := holder.Requests.Claim(wire.HeldQueue(cfg.Name, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	return holder
}

// taken are the slots that a run gets and gives back.
func taken(t *testing.T, cfg Config) []int {
	t.Helper()
	lock, err := TryAcquire(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	slots := lock.Slots()
	if err := lock.Release(t.Context()); err != nil {
		t.Error(err)
	}
	return slots
}

// The number of slots is found by bisecting, and the one that is free wherever it is.
func TestFindAmongMany(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	const count = 40
	holder := holdAll(t, cfg, count)
	s := testSession(t, cfg)
	if found, err := s.Find(t.Context(), cfg.Name, 1, wire.MaxSlots); err != nil ||
		found.Count != count ||
		len(found.Free) > 0 {
		t.Errorf("found %+v, %v; want %d slots, none free", found, err, count)
	}
	// From behind: the first window with a free one is the last looked at.
	for _, free := range []int{40, 17, 9, 8, 1} {
		if err := holder.Requests.Remove(wire.HeldQueue(cfg.Name, free)); err != nil {
			t.Fatal(err)
		}
		found, err := s.Find(t.Context(), cfg.Name, 1, wire.MaxSlots)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(found.Free, free) {
			t.Errorf("slot %d is free, found %v", free, found.Free)
		}
	}
}

// A newcomer does not ask for every slot of a long row before it has looked whether
// others wait. A waiter asks for all, and so does a contender that will not wait.
func TestNewcomerGlances(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	const first = 8
	const count = first + wire.Glance + 16
	holdAll(t, cfg, count)
	c := testContender(t, cfg)
	for _, test := range []struct {
		who      string
		newcomer bool
		want     int
	}{
		{"newcomer", true, first + wire.Glance},
		{"waiter", false, count},
	} {
		c.newcomer = test.newcomer
		if found, err := c.find(t.Context(), 1); err != nil || found.Held != test.want ||
			found.Count != count {
			t.Errorf("%s: %d of %d held, %v; want %d of %d",
				test.who, found.Held, found.Count, err, test.want, count)
		}
	}
}

// A message to a slot that exists costs the broker a Raft command. So a contender asks
// about few: the last of those that are expected says enough.
func TestSearchAsksAboutFewSlots(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ slots, expected, held, most int }{
		{50, 50, 0, 2}, {50, 0, 0, 3}, {8, 0, 0, 2}, {4, 4, 0, 2}, {4, 0, 0, 5}, {4, 50, 0, 5},
		{50, 0, 8, 8},
	} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cfg = p.semaphore(cfg, test.slots)
			cfg.Slots = test.expected
			for i := range test.held {
				p.queues[wire.HeldQueue("x", i+1)] = &peerConn{}
			}
			asked := map[string]bool{} // slots that exist
			p.answer(func(r *request) bool {
				for i := range test.slots + 1 {
					if r.method == "publish" && r.queue == wire.SlotQueue("x", i) {
						asked[r.queue] = true
					}
				}
				return false
			})
			lock, err := TryAcquire(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			p.mu.Lock() // the holder may still ask
			n := len(asked)
			p.mu.Unlock()
			_ = lock.Release(t.Context())
			if n > test.most || n == 0 {
				t.Errorf("%d slots, %d expected, %d held: asked about %d, at most %d",
					test.slots, test.expected, test.held, n, test.most)
			}
		})
	}
}

// Another contender makes the semaphore while this one looks for it. Slot 0 comes last,
// so slot 1 is missed, and slot 0 could be seen. That is no semaphore without slots.
func TestSemaphoreThatIsBeingMadeIsNotPaused(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg.Kind, cfg.Slots = wire.Semaphore, 10
		made := false
		p.answer(func(r *request) bool {
			if made || r.method != "publish" || r.queue != wire.SlotQueue("x", 1) {
				return false
			}
			made = true
			r.serve()
			p.semaphore(cfg, cfg.Slots)
			return true
		})
		lock, err := TryAcquire(t.Context(), cfg)
		if err != nil || !made {
			t.Fatalf("made %t, got %v", made, err)
		}
		_ = lock.Release(t.Context())
	})
}

// One after the other, the checks of this set would take longer than its lease.
func TestLargeSetKeepsItsLease(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		const count = 1500
		cfg = p.semaphore(cfg, count)
		cfg.Count = count
		lock, _ := held5s(t, cfg)
		p.mu.Lock()
		p.delay = 20 * time.Millisecond
		p.mu.Unlock()
		pass(time.Minute)
		if err := lock.Context().Err(); err != nil {
			t.Errorf("lost: %v", context.Cause(lock.Context()))
		}
		p.mu.Lock()
		delete(p.queues, wire.SlotQueue("x", count-1))
		p.mu.Unlock()
		<-lock.Context().Done()
		if lost := waitLost(t, lock); !strings.Contains(lost.Reason, slotCheck) {
			t.Errorf("reason %q does not name the check of the slot", lost.Reason)
		}
		_ = lock.Release(t.Context())
	})
}

// The broker reports a removal long before the next check.
func TestRemovalIsNoticedBetweenChecks(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots, cfg.Heartbeat, cfg.CheckInterval = 1, 60*time.Second, 70*time.Second
	lock := mustAcquire(t, cfg)
	early := time.Duration(0)
	for _, pause := range earlyChecks {
		early += pause
	}
	// Those without a pre-check prove nothing, and are made again. The last is left out
	// where the one before it takes long.
	waitFor(t, "the early checks are done", func() bool {
		return lock.lease.Oldest().Sent >= lock.granted+early ||
			lock.cfg.clock.Now() > lock.granted+3*early
	})
	waitFor(t, "the slot is watched", func() bool {
		return consumers(t, wire.SlotQueue(cfg.Name, 1)) == 1
	})
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, -1); err != nil {
		t.Fatal(err)
	}
	if lost := waitLost(t, lock); !strings.Contains(lost.Reason, "slot check") {
		t.Errorf("reason %q does not name the check of the slot", lost.Reason)
	}
}

// Draining takes no slot from its holder, and lets nobody new have it; it goes on when
// the holder has left.
func TestDrainWaitsForTheHolder(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots, cfg.Count = 2, 2
	holder := mustAcquire(t, cfg)
	cfg.Slots, cfg.Count = 0, 0
	drained := make(chan error, 1)
	go func() { drained <- Drain(t.Context(), cfg.Broker, cfg.Name, 1) }()
	waitFor(t, "the drain has begun", func() bool {
		missing, err := testSession(t, cfg).Missing(t.Context(), wire.DrainQueue(cfg.Name))
		return err == nil && !missing
	})
	if err := Drain(t.Context(), cfg.Broker, cfg.Name, 1); !errors.Is(err, fault.ErrNotAcquired) {
		t.Errorf("a second drain: %v, want ErrNotAcquired", err)
	}
	if err := holder.Verify(t.Context()); err != nil {
		t.Errorf("the holder has lost a slot: %v", err)
	}
	if got := slotsOf(t, cfg); got != 2 {
		t.Errorf("%d slots while both are held, want 2", got)
	}
	if err := holder.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if status, err := Inspect(t.Context(), cfg.Broker, cfg.Ref); err != nil || status.Slots != 1 ||
		len(status.Free) != 1 {
		t.Errorf("%+v, %v; want one slot, free", status, err)
	}
}

func TestNobodyTakesTheSlotThatIsDrained(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots = 2
	s := testSession(t, cfg)
	if err := s.Requests.Claim(wire.DrainQueue(cfg.Name)); err != nil {
		t.Fatal(err)
	}
	if got := mustAcquire(t, cfg).Slots()[0]; got != 1 {
		t.Errorf("got slot %d, want 1", got)
	}
	if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
		t.Errorf("the last slot: %v, want ErrNotAcquired", err)
	}
	if err := s.Requests.Remove(wire.DrainQueue(cfg.Name)); err != nil {
		t.Fatal(err)
	}
	mustAcquire(t, cfg)
}

func TestResizeMendsHoles(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	for _, n := range []int{4, 2, 0, 5} {
		if err := Resize(t.Context(), cfg.Broker, cfg.Name, n); err != nil {
			t.Fatal(err)
		}
		if got := slotsOf(t, cfg); got != n {
			t.Errorf("%d slots, want %d", got, n)
		}
	}
	for _, n := range []int{3, 1} { // more and fewer than there are before the hole
		for _, queue := range []string{wire.SlotQueue(cfg.Name, 3), wire.SlotQueue(cfg.Name, 5)} {
			if err := Resize(t.Context(), cfg.Broker, cfg.Name, 7); err != nil {
				t.Fatal(err)
			}
			if _, err := testChannel(t).QueueDelete(queue, false, false, false); err != nil {
				t.Fatal(err)
			}
			if err := Resize(t.Context(), cfg.Broker, cfg.Name, n); err != nil {
				t.Fatal(err)
			}
			if err := Adjust(t.Context(), cfg.Broker, cfg.Name, 3); err != nil {
				t.Fatal(err)
			}
			if got := slotsOf(t, cfg); got != n+3 { // what was behind the hole is gone
				t.Errorf("%d slots, want %d", got, n+3)
			}
		}
	}
}

// find takes a hole among the slots for a free one; the claim finds out.
func TestHoleIsNoFreeSlot(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	const count, hole = 12, 11
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, count); err != nil {
		t.Fatal(err)
	}
	holder := testSession(t, cfg)
	for slot := range count {
		if slot+1 == hole {
			continue
		}
		if err := holder.Requests.Claim(wire.HeldQueue(cfg.Name, slot+1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := testChannel(t).QueueDelete(wire.SlotQueue(cfg.Name, hole), false, false,
		false); err != nil {
		t.Fatal(err)
	}
	if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
		t.Errorf("nothing but a hole is free: %v, want ErrNotAcquired", err)
	}
	if missing, err := holder.Missing(t.Context(), wire.HeldQueue(cfg.Name, hole)); err != nil ||
		!missing {
		t.Errorf("the hole is still claimed: %v", err)
	}
}

// testSession is a link of its own.
func testSession(t *testing.T, cfg Config) *wire.Link {
	t.Helper()
	link, err := wire.Connect(context.Background(), cfg.Broker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Abort)
	return link
}

// testContender has not tried yet.
func testContender(t *testing.T, cfg Config) *contender {
	t.Helper()
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c, err := connectOnce(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.link.Abort)
	return c
}
