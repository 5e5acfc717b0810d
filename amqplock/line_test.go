package amqplock

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

// Hints alone keep the line moving, also where several slots come free at once and a hint is merged with another: with the slow retry
// switched off a single lost hint would stall it.
func TestHintsAloneServeEveryone(t *testing.T) {
	for _, slots := range []int{1, 3} {
		cfg := testConfig(t, Semaphore)
		cfg.Slots, cfg.retry, cfg.Logf = slots, time.Hour, nil
		var holders, most atomic.Int32
		var party errgroup.Group
		for range 12 {
			party.Go(func() error {
				for range 10 {
					lock, err := Acquire(t.Context(), cfg)
					if err != nil {
						return err
					}
					n := holders.Add(1)
					for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
					}
					holders.Add(-1)
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
		if got := int(most.Load()); got > slots {
			t.Errorf("%d holders of %d slots", got, slots)
		}
	}
}

// Who got a slot is out of the line while it holds: the next waiter is woken for the next slot.
func TestHolderStandsInNobodysWay(t *testing.T) {
	cfg := testConfig(t, Semaphore)
	cfg.Slots, cfg.retry = 2, time.Hour
	first, second := mustAcquire(t, cfg), mustAcquire(t, cfg)
	granted := make(chan error, 2)
	for range 2 {
		go func() {
			lock, err := Acquire(t.Context(), cfg)
			granted <- err
			if err == nil {
				<-t.Context().Done() // holds on
				_ = lock.Release(context.Background())
			}
		}()
	}
	waitFor(t, "both are in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == 2 })
	for _, holder := range []*Lock{first, second} {
		if err := holder.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-granted:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a waiter was not woken")
		}
	}
}

// The same where the slot came free without a hint, just before the time was over.
func TestHolderByTheLastTryStandsInNobodysWay(t *testing.T) {
	cfg := testConfig(t, Semaphore)
	cfg.retry = time.Hour
	other := holdAll(t, cfg, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	last := make(chan *Lock, 1)
	go func() {
		lock, err := Acquire(ctx, cfg)
		if err != nil {
			t.Error(err)
		}
		last <- lock
	}()
	waitFor(t, "one is in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == 1 })
	next := make(chan *Lock, 1)
	go func() {
		lock, err := Acquire(t.Context(), cfg)
		if err != nil {
			t.Error(err)
		}
		next <- lock
	}()
	waitFor(t, "both are in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == 2 })
	for slot := range 2 {
		if err := other.own.remove(heldQueue(cfg.Name, slot+1)); err != nil {
			t.Fatal(err)
		}
	}
	holder := <-last
	if holder == nil {
		return
	}
	select {
	case lock := <-next:
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the next in the line was not told of the other slot")
	}
	if err := holder.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// A releaser that found nobody in line has removed it: who comes to join then has to try again.
func TestJoinARemovedLine(t *testing.T) {
	cfg := testConfig(t, Mutex)
	s := testSession(t, cfg)
	channel := s.openLine(t.Context())
	if channel == nil {
		t.Fatal("no line")
	}
	handBack := func() error {
		if err := s.own.claim(cfg.Name); err != nil {
			t.Fatal(err)
		}
		return s.own.handBack([]string{cfg.Name}, lineQueue(cfg.Name))
	}
	if err := handBack(); err != nil {
		t.Errorf("an empty line was not removed: %v", err)
	}
	if _, err := s.join(t.Context(), channel); !absent(err) {
		t.Errorf("joining a removed line: %v, want 404", err)
	}
	if _, err := s.join(t.Context(), s.openLine(t.Context())); err != nil {
		t.Errorf("joining again: %v", err)
	}
	if err := handBack(); !concerns(err, lineQueue(cfg.Name)) {
		t.Errorf("a line with a waiter was removed: %v", err)
	}
	if err := s.own.claim(cfg.Name); err != nil {
		t.Errorf("the lock is not free although only the line was in use: %v", err)
	}
}

// Those who declared the line before anybody stood in it know of one another when they have joined.
func TestWhoJoinsTogetherSharesTheTries(t *testing.T) {
	cfg := testConfig(t, Mutex)
	first, second := testSession(t, cfg), testSession(t, cfg)
	channels := map[*session]*amqp.Channel{first: first.openLine(t.Context()), second: second.openLine(t.Context())}
	for i, s := range []*session{first, second} {
		if _, err := s.join(t.Context(), channels[s]); err != nil {
			t.Fatal(err)
		}
		if s.ahead != i {
			t.Errorf("%d are said to stand ahead of number %d", s.ahead, i)
		}
	}
}

// A waiter that has heard nothing for long has the first in the line try, and does not try itself: it would overtake those before it.
func TestNobodyOvertakesInLine(t *testing.T) {
	cfg := testConfig(t, Mutex)
	holder, first := testSession(t, cfg), testSession(t, cfg)
	if err := holder.own.claim(cfg.Name); err != nil {
		t.Fatal(err)
	}
	ahead, err := first.join(t.Context(), first.openLine(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	cfg.retry = time.Millisecond
	waiting, stop := context.WithCancel(t.Context())
	defer stop()
	got := make(chan *Lock, 1)
	go func() {
		lock, err := Acquire(waiting, cfg)
		if err != nil {
			t.Error(err)
		}
		got <- lock
	}()
	waitFor(t, "the waiter is in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == 2 })
	if err := holder.own.remove(cfg.Name); err != nil { // without a hint
		t.Fatal(err)
	}
	for range 3 { // its tries, if it did, would have come as often
		select {
		case hint := <-ahead.hints:
			if err := hint.Ack(false); err != nil {
				t.Fatal(err)
			}
		case <-got:
			t.Fatal("the second in the line has overtaken the first")
		case <-time.After(10 * time.Second):
			t.Fatal("the first in the line was not told to try")
		}
	}
	select {
	case <-got:
		t.Fatal("the second in the line has overtaken the first")
	default:
	}
	if err := ahead.leave(); err != nil {
		t.Fatal(err)
	}
	if lock := <-got; lock != nil {
		_ = lock.Release(t.Context())
	}
}

// Who moves up in the line is told, so that it tries by itself as often as the first one should; and the hint of the release comes after that.
func TestNextInLineIsPromoted(t *testing.T) {
	cfg := testConfig(t, Mutex)
	cfg.retry = time.Hour
	holder := mustAcquire(t, cfg)
	second := make(chan *Lock, 1)
	go func() {
		lock, err := Acquire(t.Context(), cfg)
		if err != nil {
			t.Error(err)
		}
		second <- lock
	}()
	waitFor(t, "the waiter is in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == 1 })
	s := testSession(t, cfg)
	third, err := s.join(t.Context(), s.openLine(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		lock func() *Lock
		want string
	}{{func() *Lock { return holder }, promoted}, {func() *Lock { return <-second }, ""}} {
		lock := step.lock()
		waitFor(t, "the tripwire is armed", func() bool { return isArmed(lock) }) // while it is being armed a release may set it off: a hint too many
		if err := lock.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case hint := <-third.hints:
			if hint.Type != step.want {
				t.Errorf("got %q, want %q", hint.Type, step.want)
			}
			if err := hint.Ack(false); err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no message, want %q", step.want)
		}
	}
}

// A crash is known to the line within milliseconds: the tripwire's message expires into it.
func TestCrashWakesTheLine(t *testing.T) {
	for _, kind := range []Kind{Mutex, Semaphore} {
		t.Run(string(kind), func(t *testing.T) {
			cfg := testConfig(t, kind)
			if kind == Semaphore {
				cfg.Slots = 1
			}
			cfg.retry = time.Hour
			holderCfg := cfg
			holderCfg.Dial = dialWire
			holder := mustAcquire(t, holderCfg)
			waitFor(t, "the tripwire is armed", func() bool { return isArmed(holder) })
			got := make(chan error, 1)
			go func() {
				lock, err := Acquire(t.Context(), cfg)
				if err == nil {
					err = lock.Release(t.Context())
				}
				got <- err
			}()
			waitFor(t, "the waiter is in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == 1 })
			crash(holder)
			select {
			case err := <-got:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Error("the waiter was not woken")
			}
		})
	}
}

// Who releases closes its connections only when the next in the line has had the time to claim the lock. Where there is no line it ends at once.
func TestStepAside(t *testing.T) {
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		for _, line := range []bool{false, true} {
			for _, held := range []time.Duration{talkDelay / 2, 2 * talkDelay} {
				lock := mustAcquire(t, cfg)
				pass(held)
				hold, begun, told, closed := p.connOf(lock.session.hold), time.Now(), false, time.Duration(-1)
				p.answer(func(r *request) bool {
					switch {
					case r.method == "publish" && r.queue == lineQueue(cfg.Name):
						told = true
					case r.method == "close" && r.peerConn == hold:
						closed = time.Since(begun)
					case r.method == "delete" && r.queue == lineQueue(cfg.Name) && line:
						r.closeChannel(amqp.PreconditionFailed, "PRECONDITION_FAILED - queue 'x-W' in vhost '/' in use")
						return true
					}
					return false
				})
				if line {
					p.queues[lineQueue(cfg.Name)] = nil
				}
				if err := lock.Release(t.Context()); err != nil {
					t.Error(err)
				}
				p.answer(nil)
				want := time.Duration(0)
				if line {
					want = aside
				}
				if line && !told || closed != want {
					t.Errorf("a line %t, held for %s: told it %t, closed after %s, want %s", line, held, told, closed, want)
				}
			}
		}
	})
}

// In an alarm the broker does not read what a releaser has to say to the line, who does not wait for it.
func TestReleaseInAnAlarmWaitsForNothing(t *testing.T) {
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		lock := mustAcquire(t, cfg)
		s := lock.session
		if err := s.openTalk(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.probes = nil
		talk := p.connOf(s.talk)
		p.mu.Lock()
		talk.alarm("low on memory")
		p.mu.Unlock()
		synctest.Wait()
		begun := time.Now()
		if err := lock.Release(t.Context()); err != nil || time.Since(begun) > 0 {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}
