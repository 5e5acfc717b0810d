package locker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// long is a suspend after which no lease is left.
const long = 20 * time.Hour

// A suspend is a jump of the clock that no alarm has noticed yet, at the worst instant:
// before the answer to one request. Whatever Acquire was doing, it hands out no lock
// whose proof is older than the lease.
func TestSuspendWhileAcquiring(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		kind   wire.Kind
		count  int
		method string // the jump comes before the answer to this
		queue  string
	}{
		{"logging in", wire.Mutex, 0, "open", ""},
		{"claiming", wire.Mutex, 0, "claim", "x"},
		{"first majority check", wire.Mutex, 0, "get", wire.Witness},
		{"looking for a slot", wire.Semaphore, 0, "publish", barrier},
		{"claiming a slot", wire.Semaphore, 0, "claim", wire.HeldQueue("x", 1)},
		{"first slot check", wire.Semaphore, 0, "get", wire.SlotQueue("x", 1)},
		{"claiming the second of two", wire.Semaphore, 2, "claim", wire.HeldQueue("x", 2)},
		{"checking both", wire.Semaphore, 2, "look", wire.HeldQueue("x", 2)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				clock := cfg.clock.(*bubbleClock)
				if test.kind == wire.Semaphore {
					cfg = p.semaphore(cfg, max(test.count, 1))
					cfg.Count = test.count
				}
				jumped := false
				p.answer(func(r *request) bool {
					if !jumped && r.method == test.method && r.queue == test.queue {
						jumped = true
						clock.suspend(long)
					}
					return false
				})
				lock, err := TryAcquire(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				if !jumped {
					t.Fatal("there was no such request")
				}
				if left := lock.StopAt() - clock.Now(); left != 14*time.Second {
					t.Errorf("handed out with %s left, want 14s", left)
				}
				clock.resumed()
				pass(time.Minute)
				if err := lock.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A broker that is awake may also take longer than a lease to grant the lock. Or it takes
// so long that little of the lease is left.
func TestSlowGrantIsProvenAgain(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{2500 * time.Millisecond, 5 * time.Second} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cfg.Heartbeat, cfg.StopTime, cfg.CheckInterval = 2*time.Second, time.Second, time.Second
			slow := true
			p.answer(func(r *request) bool {
				if r.method != "claim" || !slow {
					return false
				}
				slow = false
				time.AfterFunc(late, func() {
					r.mu.Lock()
					defer r.mu.Unlock()
					r.serve()
				})
				return true
			})
			lock, err := TryAcquire(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if left, want := lock.StopAt()-cfg.clock.Now(), 2800*time.Millisecond; left != want {
				t.Errorf("granted after %s, and handed out with %s left, want %s", late, left, want)
			}
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A lock that cannot be proven after that is given back.
func TestSuspendAndTheLockIsGone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		reply string
		want  error
	}{{"404 gone", fault.ErrNotAcquired}, {"silence", fault.ErrUnreachable},
		{"cut", fault.ErrUnreachable}, {"403", fault.ErrAccess}} {
		t.Run(test.reply, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				p.answer(func(r *request) bool {
					switch r.method {
					case "claim":
						cfg.clock.(*bubbleClock).suspend(long)
					case "look":
						replies[test.reply](r)
						return true
					}
					return false
				})
				if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				synctest.Wait()
				if p.owned("x") {
					t.Error("the lock was kept")
				}
			})
		})
	}
}

// One who waits goes on waiting, on the old connection or on a new one, and gets a whole
// lease in the end.
func TestSuspendWhileWaiting(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			clock := cfg.clock.(*bubbleClock)
			p.queues[cfg.Name] = &peerConn{}
			time.AfterFunc(time.Minute, func() {
				clock.suspend(long)
				p.mu.Lock()
				defer p.mu.Unlock()
				delete(p.queues, cfg.Name)
				for _, c := range p.conns {
					if cut {
						c.cut()
					}
				}
			})
			lock, err := Acquire(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if left := lock.StopAt() - clock.Now(); left != 14*time.Second {
				t.Errorf("handed out with %s left, want 14s", left)
			}
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// While the lock is held, a suspend that was longer than the lease is a loss, whoever is
// first to notice.
func TestSuspendWhileHolding(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		d    time.Duration // from just after a check
		lost bool
		then func(t *testing.T, lock *Holder, clock *bubbleClock) error
	}{
		{"the alarm rings a millisecond early", 14*time.Second - time.Millisecond, false, resume},
		{"the alarm rings", 14 * time.Second, true, resume},
		{
			"verify",
			long,
			true,
			func(t *testing.T, l *Holder, _ *bubbleClock) error { return l.Verify(t.Context()) },
		},
		{
			"release",
			long,
			true,
			func(t *testing.T, l *Holder, _ *bubbleClock) error { return l.Release(t.Context()) },
		},
		{
			"release in time",
			13 * time.Second,
			false,
			func(t *testing.T, l *Holder, _ *bubbleClock) error { return l.Release(t.Context()) },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				lock, clock := held5s(t, cfg)
				hold := p.connOf(lock.link.Lock)
				clock.suspend(lock.StopAt() - clock.Now() - 14*time.Second + test.d)
				if err := test.then(t, lock, clock); errors.Is(err, fault.ErrLost) != test.lost {
					t.Errorf("%v, want lost %t", err, test.lost)
				}
				released := strings.HasPrefix(test.name, "release")
				if !released && !hold.open() {
					t.Error("the socket was closed while the command may live")
				}
				if err := lock.Release(t.Context()); errors.Is(err, fault.ErrLost) != test.lost {
					t.Errorf("Release: %v, want lost %t", err, test.lost)
				}
			})
		})
	}
}

func resume(_ *testing.T, lock *Holder, clock *bubbleClock) error {
	clock.resumed()
	synctest.Wait()
	return context.Cause(lock.Context())
}

// held5s is a lock that was taken five seconds ago, so that it has been checked a few
// times.
func held5s(t *testing.T, cfg Config) (*Holder, *bubbleClock) {
	t.Helper()
	lock, err := Acquire(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	pass(5 * time.Second)
	return lock, cfg.clock.(*bubbleClock)
}

// A suspend in the middle of a check: the good answer is to a question from before, and
// proves nothing about now.
func TestSuspendDuringACheck(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"look", "get"} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			lock, clock := held5s(t, cfg)
			jumped := false
			p.answer(func(r *request) bool {
				if r.method == method && !jumped {
					jumped = true
					clock.suspend(long)
				}
				return false
			})
			if err := lock.Verify(t.Context()); !errors.Is(err, fault.ErrLost) {
				t.Errorf("%s: Verify: %v, want ErrLost", method, err)
			}
			if err := lock.Release(t.Context()); !errors.Is(err, fault.ErrLost) {
				t.Errorf("%s: Release: %v, want ErrLost", method, err)
			}
		})
	}
}

// After a loss nothing changes any more: the reason stays, and the socket is open until
// Release.
func TestSuspendBetweenLossAndStop(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		lock, clock := held5s(t, cfg)
		hold := p.connOf(lock.link.Lock)
		p.answer(func(r *request) bool {
			if r.method == "look" {
				replies["404 gone"](r)
			}
			return r.method == "look"
		})
		<-lock.Context().Done()
		p.answer(nil)
		why, until := context.Cause(lock.Context()), lock.Until()
		clock.suspend(long)
		clock.resumed()
		pass(time.Minute)
		if got := context.Cause(lock.Context()); !errors.Is(got, why) || lock.Until() != until {
			t.Errorf("%v until %s, before it was %v until %s", got, lock.Until(), why, until)
		}
		if !hold.open() {
			t.Error("the socket was closed while the command may live")
		}
		if err := lock.Release(t.Context()); !errors.Is(err, why) {
			t.Errorf("Release: %v, want %v", err, why)
		}
		synctest.Wait()
		if hold.open() {
			t.Error("Release left the socket open")
		}
	})
}

// A suspend during Release is none of the command's business: the work has ended in time.
func TestSuspendWhileReleasing(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"look", "delete", "close"} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			lock, clock := held5s(t, p.semaphore(cfg, 1))
			lock.stop()
			synctest.Wait()
			jumped := false
			p.answer(func(r *request) bool {
				if r.method == method && !jumped {
					jumped = true
					clock.suspend(long)
					clock.resumed()
				}
				return false
			})
			if err := lock.Release(t.Context()); err != nil || !jumped {
				t.Errorf("%s: %v (jumped %t)", method, err, jumped)
			}
			if p.owned(wire.HeldQueue("x", 1)) {
				t.Errorf("%s: the lock was left behind", method)
			}
		})
	}
}
