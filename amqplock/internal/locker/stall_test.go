package locker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// elastic is an elastic set that holds slot 1 of two; slot 2 is another's until free.
func elastic(t *testing.T, p *peer, cfg Config) (lock *Holder, free func()) {
	t.Helper()
	cfg = p.semaphore(cfg, 2)
	cfg.Greedy, cfg.Elastic = true, true
	p.queues[wire.HeldQueue("x", 2)] = &peerConn{} // nobody else is there yet
	lock, _ = held5s(t, cfg)
	return lock, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.queues, wire.HeldQueue("x", 2))
	}
}

// An elastic set tries for more on its lock connection. No failure of that may close
// it.
func TestGrowingDoesNotCloseTheLockConnection(t *testing.T) {
	t.Parallel()
	for _, q := range []question{
		{"claim", wire.Semaphore, "claim", wire.HeldQueue("x", 2)},
		{"ownership", wire.Semaphore, "look", wire.HeldQueue("x", 2)},
		{"slot check", wire.Semaphore, "get", wire.SlotQueue("x", 1)},
		{"give back", wire.Semaphore, "delete", wire.HeldQueue("x", 2)},
	} {
		t.Run(q.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				lock, free := elastic(t, p, cfg)
				hold := p.connOf(lock.link.Lock)
				asked := 0
				p.answer(func(r *request) bool {
					switch {
					// so that it is given back
					case q.method == "delete" && r.method == "get" && r.queue == wire.SlotQueue("x", 2):
						replies["404 down"](r)
						return true
					case q.is(r) && r.peerConn == hold:
						asked++
						r.stall()
						return true
					}
					return false
				})
				free()
				select {
				case <-lock.Context().Done(): // the checks hang: the lease runs
					if now := lock.cfg.clock.Now(); now != lock.StopAt() {
						t.Errorf("lost at %s, want %s: %v", now, lock.StopAt(), context.Cause(lock.Context()))
					}
				case <-time.After(5 * time.Minute):
				}
				synctest.Wait()
				if asked == 0 {
					t.Error("nothing was asked")
				}
				if !hold.open() {
					t.Error("the socket was closed while the command may live")
				}
				_ = lock.Release(t.Context())
			})
		})
	}
}

// Nothing that hangs delays the end of Context, and no call closes the socket before
// Release does.
func TestStuckCallsDoNotDelayTheStop(t *testing.T) {
	t.Parallel()
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			if kind == wire.Semaphore {
				cfg = p.semaphore(cfg, 1)
			}
			lock, clock := held5s(t, cfg)
			hold := p.connOf(lock.link.Lock)
			for _, c := range p.conns {
				c.hang()
			}
			verified := make(chan error, 3)
			for range cap(verified) {
				go func() { verified <- lock.Verify(t.Context()) }()
			}
			<-lock.Context().Done()
			if now := clock.Now(); now != lock.StopAt() {
				t.Errorf("ended at %s, want %s", now, lock.StopAt())
			}
			for range cap(verified) {
				if err := <-verified; !errors.Is(err, fault.ErrLost) {
					t.Errorf("Verify: %v, want ErrLost", err)
				}
			}
			if now := clock.Now(); now != lock.StopAt() {
				t.Errorf("Verify returned at %s, want %s", now, lock.StopAt())
			}
			pass(time.Hour) // a command that does not die
			if !hold.open() {
				t.Error("the socket was closed while the command may live")
			}
			began := time.Now()
			if err := lock.Release(t.Context()); !errors.Is(err, fault.ErrLost) {
				t.Errorf("Release: %v, want ErrLost", err)
			}
			if took := time.Since(began); took > 0 {
				t.Errorf("Release of a lost lock took %s", took)
			}
			synctest.Wait()
			if hold.open() {
				t.Error("Release left the socket open")
			}
		})
	}
}

// A release to a broker that has just fallen silent ends in time, whatever the patience
// of the caller.
func TestReleaseEndsInTime(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg.ConnectTimeout = 7 * time.Second
		lock, _ := held5s(t, cfg)
		for _, c := range p.conns {
			c.hang()
		}
		began := time.Now()
		if err := lock.Release(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Release: %v", err)
		}
		if took := time.Since(began); took != cfg.ConnectTimeout {
			t.Errorf("took %s, want %s", took, cfg.ConnectTimeout)
		}
	})
}

// An alarm that was over long ago does not cut the close short. The close makes sure
// that the broker has read the hint for the next waiter.
func TestCloseAfterAnAlarm(t *testing.T) {
	t.Parallel()
	for alarm, want := range map[bool]time.Duration{false: wire.CloseTime, true: 0} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			lock, _ := held5s(t, cfg)
			publish := lock.link.Publish()
			p.answer(func(r *request) bool { return r.method == "close" })
			peer := p.connOf(publish)
			p.mu.Lock()
			peer.alarm("low on memory")
			if !alarm {
				peer.alarmOver()
			}
			p.mu.Unlock()
			synctest.Wait()
			began := time.Now()
			publish.Close()
			if took := time.Since(began); took != want {
				t.Errorf("alarm %t: took %s, want %s", alarm, took, want)
			}
			_ = lock.Release(t.Context())
		})
	}
}

// A whole life of each kind: the peer fails the test when a connection that has declared
// an exclusive queue publishes anything.
func TestWhoHoldsDoesNotPublish(t *testing.T) {
	t.Parallel()
	set := func(count int, greedy, elastic bool) func(*peer, Config) Config {
		return func(p *peer, cfg Config) Config {
			cfg = p.semaphore(cfg, 2)
			cfg.Count, cfg.Greedy, cfg.Elastic = count, greedy, elastic
			return cfg
		}
	}
	for name, configure := range map[string]func(*peer, Config) Config{
		"mutex":     func(_ *peer, cfg Config) Config { return cfg },
		"semaphore": set(0, false, false),
		"count":     set(2, false, false),
		"greedy":    set(0, true, false),
		"elastic":   set(0, true, true),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				cfg = configure(p, cfg)
				first, err := Acquire(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				others := cfg
				others.Count, others.Greedy, others.Elastic = 0, false, false
				var wait []*Holder
				if left := 2 - len(first.Slots()); cfg.Kind == wire.Semaphore && left > 0 {
					other, err := Acquire(t.Context(), others)
					if err != nil {
						t.Fatal(err)
					}
					wait = append(wait, other)
				}
				pass(rearmAfter + time.Minute)
				second := takeLater(t, others)
				pass(10 * time.Second)
				if err := first.Verify(t.Context()); err != nil {
					t.Error(err)
				}
				hold := p.connOf(first.link.Lock)
				if hold.saw("claim") == 0 || hold.saw("look") == 0 || hold.saw("get") == 0 ||
					hold.saw("consume") == 0 {
					t.Error("the sniffer saw no life: it does not work")
				}
				if err := first.Release(t.Context()); err != nil {
					t.Error(err)
				}
				for _, lock := range append(wait, <-second) {
					if err := lock.Release(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// takeLater takes a lock in the background, and waits for it.
func takeLater(t *testing.T, cfg Config) <-chan *Holder {
	got := make(chan *Holder, 1)
	go func() {
		lock, err := Acquire(t.Context(), cfg)
		if err != nil {
			t.Error(err)
		}
		got <- lock
	}()
	return got
}

// An administrator does not publish on its lock connection either, also while it
// drains.
func TestAdministratorDoesNotPublish(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg.Kind = wire.Semaphore
		steps := []struct {
			name string
			do   func(context.Context, Config) error
			want int // slots
		}{
			{
				"adjust",
				func(ctx context.Context, cfg Config) error { return Adjust(ctx, cfg.Broker, cfg.Name, 5) },
				5,
			},
			{
				"resize",
				func(ctx context.Context, cfg Config) error { return Resize(ctx, cfg.Broker, cfg.Name, 3) },
				3,
			},
			{
				"drain",
				func(ctx context.Context, cfg Config) error { return Drain(ctx, cfg.Broker, cfg.Name, 2) },
				1,
			},
			{
				"shrink",
				func(ctx context.Context, cfg Config) error { return Adjust(ctx, cfg.Broker, cfg.Name, -1) },
				0,
			},
			{
				"destroy",
				func(ctx context.Context, cfg Config) error { return Destroy(ctx, cfg.Broker, cfg.Name) },
				0,
			},
		}
		for _, step := range steps {
			if step.name == "drain" { // the last slot is held for a while
				p.mu.Lock()
				p.queues[wire.HeldQueue("x", 3)] = &peerConn{}
				p.mu.Unlock()
				time.AfterFunc(5*time.Second, func() {
					p.mu.Lock()
					defer p.mu.Unlock()
					delete(p.queues, wire.HeldQueue("x", 3))
				})
			}
			if err := step.do(t.Context(), cfg); err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
			synctest.Wait()
			slots := 0
			p.mu.Lock()
			for {
				if _, there := p.queues[wire.SlotQueue("x", slots+1)]; !there {
					break
				}
				slots++
			}
			p.mu.Unlock()
			if slots != step.want {
				t.Errorf("%s: %d slots, want %d", step.name, slots, step.want)
			}
		}
	})
}

// A claim of one more slot may be granted when nobody waits for the answer any more. Then
// the slot is given back, and is not held for nothing until the end of the set.
func TestSlotThatIsGrantedLateIsNotKeptForNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg.ConnectTimeout = 3 * time.Second
		lock, free := elastic(t, p, cfg)
		late := false
		p.answer(func(r *request) bool {
			if r.method != "claim" || late {
				return false
			}
			late = true
			// Before the set tries again: from then on it is no free slot, for the set neither.
			time.AfterFunc(cfg.ConnectTimeout+time.Millisecond, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				r.serve()
			})
			return true
		})
		free()
		pass(time.Minute)
		if got := lock.Slots(); !late || !slices.Equal(got, []int{1, 2}) {
			t.Errorf("late %t, holds %v, want slots 1 and 2", late, got)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// While a slot that an elastic set has lost is given back, the set does not claim it: the
// deletion goes by the name.
func TestLostSlotIsLeftAloneUntilItIsGivenBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 2)
		cfg.Greedy, cfg.Elastic = true, true
		lock, _ := held5s(t, cfg)
		left := false
		p.answer(func(r *request) bool {
			if r.method == "delete" && r.queue == wire.HeldQueue("x", 2) {
				left = lock.held.concerns(2)
			}
			return false
		})
		p.mu.Lock()
		delete(p.queues, wire.HeldQueue("x", 2))
		p.mu.Unlock()
		pass(time.Minute)
		if !left {
			t.Error("the set may claim the slot that it gives back")
		}
		if got := lock.Slots(); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("holds %v, want slots 1 and 2", got)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
