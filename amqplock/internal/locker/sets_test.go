package locker

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestCountTakesAllOrNone(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots, cfg.Count = 5, 3
	lock := mustAcquire(t, cfg)
	if got := len(lock.Slots()); got != 3 {
		t.Fatalf("%d slots, want 3", got)
	}
	if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
		t.Errorf("3 of 2 free slots: %v, want ErrNotAcquired", err)
	}
	if status, err := Inspect(t.Context(), cfg.Broker, cfg.Ref); err != nil || len(status.Free) != 2 {
		t.Errorf("a failed try has kept slots: %+v, %v", status, err)
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	cfg.Count = 2
	mustAcquire(t, cfg)
}

func TestGreedyTakesWhatIsFree(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots = 4
	one := mustAcquire(t, cfg)
	cfg.Greedy = true
	rest := mustAcquire(t, cfg)
	all := slices.Concat(one.Slots(), rest.Slots())
	slices.Sort(all)
	if !slices.Equal(all, []int{1, 2, 3, 4}) {
		t.Errorf("%v and %v, want all four", one.Slots(), rest.Slots())
	}
	if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
		t.Errorf("nothing is free: %v, want ErrNotAcquired", err)
	}
}

// Many who want several would wait for one another for ever if each kept a part.
func TestSeveralWithoutDeadlock(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots, cfg.retry, cfg.Log = 5, time.Hour, nil
	var party errgroup.Group
	for i := range 8 {
		mine := cfg
		mine.Count = 2 + i%3
		party.Go(func() error {
			for range 4 {
				lock, err := Acquire(t.Context(), mine)
				if err != nil {
					return err
				}
				if got := len(lock.Slots()); got != mine.Count {
					return fmt.Errorf("%d slots, want %d", got, mine.Count)
				}
				if err := lock.Release(t.Context()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := party.Wait(); err != nil {
		t.Fatal(err)
	}
}

// A waiter for several slots may keep a part while it waits for the rest. Only the
// first waiter may.
func TestOnlyTheFirstKeepsAPart(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	if err := Adjust(t.Context(), cfg.Broker, cfg.Name, 2); err != nil {
		t.Fatal(err)
	}
	cfg.Count = 2
	other := testSession(t, cfg)
	if err := other.Requests.Claim(wire.HeldQueue(cfg.Name, 2)); err != nil {
		t.Fatal(err)
	}
	for _, first := range []bool{true, false} {
		s := testContender(t, cfg)
		if err := s.claim(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := s.try(t.Context(), first); !errors.Is(err, fault.ErrBusy) {
			t.Fatalf("took 2 slots of which another holds one: %v", err)
		}
		free, err := other.Missing(t.Context(), wire.HeldQueue(cfg.Name, 1))
		if err != nil {
			t.Fatal(err)
		}
		if kept := len(s.held.list()) == 1; kept != first || free == first {
			t.Errorf("first %t: kept %t, free %t", first, kept, free)
		}
		s.abandon()
	}
}

// An error ends a try in the middle of collecting. Then, too, only the first waiter
// keeps what it has got.
func TestErrorLeavesAPartToTheFirstOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply string
		nth   int // of the questions about slot 2
	}{{"404 down", 1}, {"404 gone", 2}} {
		for i := range 10 { // slots are claimed in random order
			first := i%2 == 0
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				cfg = p.semaphore(cfg, 3)
				cfg.Count = 3
				s := testContender(t, cfg)
				asked := 0
				p.answer(func(r *request) bool {
					if r.method != "get" || r.queue != wire.SlotQueue("x", 2) {
						return false
					}
					if asked++; asked == c.nth {
						replies[c.reply](r)
						return true
					}
					return false
				})
				if err := s.try(t.Context(), first); err == nil || asked != c.nth {
					t.Fatalf("%s: %v after %d questions", c.reply, err, asked)
				}
				synctest.Wait()
				owned := 0
				for slot := range 3 {
					if p.owned(wire.HeldQueue("x", slot+1)) {
						owned++
					}
				}
				if held := len(s.held.list()); owned != held || !first && held > 0 ||
					first && c.nth == 2 && held != 2 {
					t.Errorf("%s, first %t: has %d, and knows of %d", c.reply, first, owned, held)
				}
			})
		}
	}
}

// collector wants two of three slots, of which one is free.
func collector(t *testing.T, p *peer, cfg Config) *contender {
	t.Helper()
	cfg = p.semaphore(cfg, 3)
	cfg.Count = 2
	p.queues[wire.HeldQueue("x", 2)], p.queues[wire.HeldQueue("x", 3)] = &peerConn{}, &peerConn{}
	return testContender(t, cfg)
}

// A part that vanishes is forgotten, and claimed like any other slot. It counts once.
func TestPartThatVanishesCountsOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		c := collector(t, p, cfg)
		for range 3 {
			if err := c.try(t.Context(), true); !isBusy(err) {
				t.Fatalf("one of three slots is free, two are wanted: %v", err)
			}
			if held := c.held.list(); !slices.Equal(held, []int{1}) {
				t.Errorf("holds %v, want slot 1", held)
			}
			p.mu.Lock()
			delete(p.queues, wire.HeldQueue("x", 1)) // an operator, by name
			p.mu.Unlock()
		}
	})
}

// A part that vanishes and becomes another's is none of ours any more.
func TestPartThatBecomesAnothersIsForgotten(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		c := collector(t, p, cfg)
		if err := c.try(t.Context(), true); !isBusy(err) {
			t.Fatalf("one of three slots is free, two are wanted: %v", err)
		}
		p.answer(func(r *request) bool {
			if r.method == "claim" { // another is faster
				r.queues[r.queue] = &peerConn{}
			}
			return false
		})
		p.mu.Lock()
		delete(p.queues, wire.HeldQueue("x", 1)) // an operator, by name
		p.mu.Unlock()
		if err := c.try(t.Context(), true); !isBusy(err) || len(c.held.list()) > 0 {
			t.Errorf("holds %v, want nothing: %v", c.held.list(), err)
		}
	})
}

// An own slot that is missing is lost, and not free for the set that has lost it.
func TestSetDoesNotTakeItsOwnSlotAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		lock, _ := elastic(t, p, cfg)
		claims := 0
		p.answer(func(r *request) bool {
			if r.method == "claim" && r.queue == wire.HeldQueue("x", 1) {
				claims++
			}
			if r.method == "look" && r.queue == wire.HeldQueue("x", 1) { // no check finds out
				r.declareOk()
				return true
			}
			return false
		})
		p.mu.Lock()
		delete(p.queues, wire.HeldQueue("x", 1))
		p.mu.Unlock()
		pass(10 * time.Second) // some slow tries
		if claims > 0 || !slices.Equal(lock.Slots(), []int{1}) {
			t.Errorf("claimed it %d times, holds %v", claims, lock.Slots())
		}
		p.answer(nil)
		_ = lock.Release(t.Context())
	})
}

// The claim that others won proves nothing of the slot that a greedy set has got.
func TestLeaseOfAGreedySet(t *testing.T) {
	t.Parallel()
	for range 10 { // slots are claimed in random order
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cfg = p.semaphore(cfg, 2)
			cfg.Greedy = true
			clock := cfg.clock
			var granted time.Duration // the newest time of a claim that was granted
			p.delay = 100 * time.Millisecond
			p.answer(func(r *request) bool {
				if r.method != "claim" {
					return false
				}
				if r.queue == wire.HeldQueue("x", 2) {
					replies["405"](r)
					return true
				}
				granted = clock.Now()
				return false
			})
			lock := mustAcquire(t, cfg)
			if got, most := lock.Until(), granted+19*time.Second; got > most {
				t.Errorf("until %s, at most %s is proven", got, most)
			}
			p.mu.Lock()
			p.delay = 0
			p.mu.Unlock()
			_ = lock.Release(t.Context())
		})
	}
}

// To a claim of a slot that is just being removed RabbitMQ 4.3 answers 541. Then it is
// busy, or gone.
func TestSlotThatIsRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"{noproc,{gen_statem,call}}", "{shutdown,\n delete}"} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cfg = p.semaphore(cfg, 1)
			failures := p.fail(2, "get", wire.SlotQueue("x", 1), reason)
			if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
				t.Errorf("%s: %v, want ErrNotAcquired", reason, err)
			}
			lock := mustAcquire(t, cfg)
			if *failures != 2 {
				t.Errorf("%s: %d failures", reason, *failures)
			}
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// To a message to a slot that is just being removed RabbitMQ 4.0 answers 541. When many
// are removed that happens several times.
func TestSlotsThatAreRemovedWhileTheyAreCounted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 1)
		failures := p.fail(4, "publish", wire.SlotQueue("x", 1), "")
		lock, err := TryAcquire(t.Context(), cfg)
		if err != nil || *failures != 4 {
			t.Fatalf("after %d failures: %v", *failures, err)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// As soon as a slot is free a drain may remove it: that is no loss of its last holder.
func TestSlotThatIsDrainedAtTheRelease(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		lock, _ := held5s(t, p.semaphore(cfg, 1))
		p.answer(func(r *request) bool {
			if r.method == "delete" && r.queue == wire.HeldQueue("x", 1) {
				delete(p.queues, wire.SlotQueue("x", 1))
			}
			return false
		})
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A broker may allow a connection few channels. The checks of a large set make do.
func TestALargeSetWithFewChannels(t *testing.T) {
	t.Parallel()
	for _, channels := range []uint16{8, 16, 24} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			p.channels = channels
			cfg = p.semaphore(cfg, 2*fewSlots)
			cfg.Count = 2 * fewSlots
			lock := mustAcquire(t, cfg)
			pass(time.Minute)
			if err := lock.Release(t.Context()); err != nil {
				t.Errorf("with %d channels: %v", channels, err)
			}
		})
	}
}

// The comparison with Config.Slots is for a warning. The work under the lock does not
// wait for it, and the release waits for a second at most.
func TestComparisonOfTheSizeIsShort(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 200) // so many that the search does not see the last
		cfg.Slots = 200
		p.answer(func(r *request) bool {
			late := r.method == "publish" && r.queue == wire.SlotQueue("x", 200)
			if late {
				r.stall()
			}
			return late
		})
		begun := time.Now()
		lock := mustAcquire(t, cfg)
		if took := time.Since(begun); took > 0 {
			t.Errorf("it took %s", took)
		}
		if err := lock.Release(t.Context()); err != nil || time.Since(begun) > 2*time.Second {
			t.Errorf("the release, %s after the grant: %v", time.Since(begun), err)
		}
		lock = mustAcquire(t, cfg)
		pass(time.Minute)
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
