package locker

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// goAway ends all connections, and lets nobody in for d.
func (p *peer) goAway(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
	for _, c := range p.conns {
		c.cut()
	}
	time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.away = false
	})
}

// waitBehind has a contender wait behind another's lock, and collects its warnings.
func (p *peer) waitBehind(
	t *testing.T, ctx context.Context, cfg Config, warnings *[]string,
) <-chan error {
	p.queues[cfg.Held(1)] = &peerConn{}
	cfg.Log = onWarning(func(text string) { *warnings = append(*warnings, text) })
	ended := make(chan error, 1)
	go func() {
		lock, err := Acquire(ctx, cfg)
		if err == nil {
			err = lock.Release(t.Context())
		}
		ended <- err
	}()
	pass(3 * time.Second)
	return ended
}

// A waiter outlives a broker that is away for longer than the connect timeout. It warns
// once that the broker has gone, and once that it is back.
func TestWaiterOutlivesTheBroker(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		var warnings []string
		ended := p.waitBehind(t, t.Context(), cfg, &warnings)
		p.goAway(time.Minute)
		pass(90 * time.Second)
		p.mu.Lock()
		delete(p.queues, cfg.Held(1))
		p.mu.Unlock()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if len(warnings) != 2 || !strings.HasSuffix(warnings[0], "; connecting again") ||
			!strings.HasPrefix(warnings[1], "connected to amqp://localhost:5672 again") {
			t.Errorf("warned %q", warnings)
		}
	})
}

// A broker that stops takes no new connections before it has ended the old ones. Here
// the publish connection has ended when another wins the slot, and the lock connection
// has not.
func TestWaiterOutlivesABrokerThatStops(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 1)
		begun, stops := time.Now(), false
		p.answer(func(r *request) bool { // has the lock of p
			if r.method == "claim" && !stops {
				stops, p.away = true, true
				p.queues[r.queue] = &peerConn{}
				for _, c := range p.conns {
					if c != r.peerConn {
						c.cut()
					}
				}
				time.AfterFunc(time.Second, func() {
					p.goAway(time.Minute)
					p.mu.Lock()
					defer p.mu.Unlock()
					delete(p.queues, r.queue)
				})
			}
			return false
		})
		lock, err := Acquire(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if waited := time.Since(begun); waited < time.Minute {
			t.Errorf("granted after %s", waited)
		}
	})
}

// The time that a waiter may wait counts while the broker is away.
func TestWaitEndsWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun, warnings := time.Now(), []string{}
		ended := p.waitBehind(t, ctx, cfg, &warnings)
		p.goAway(time.Hour)
		err := <-ended
		if !errors.Is(err, fault.ErrNotAcquired) || time.Since(begun) != time.Minute ||
			!strings.Contains(err.Error(), "in time: cannot reach the broker") {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		if len(warnings) != 1 {
			t.Errorf("warned %q", warnings)
		}
	})
}

// A broker that accepts each connection and ends it does not warn about each of them.
func TestBrokerThatEndsEachConnectionWarnsOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var warnings []string
		ended := p.waitBehind(t, ctx, cfg, &warnings)
		p.answer(func(r *request) bool {
			if r.method == "claim" {
				r.cut()
			}
			return r.method == "claim"
		})
		p.goAway(0)
		if err := <-ended; !errors.Is(err, fault.ErrNotAcquired) || len(warnings) != 1 {
			t.Errorf("%v, warned %q", err, warnings)
		}
	})
}

// A broker that comes back and refuses us has the connect timeout to think better of it.
// Then the wait ends with the refusal.
func TestRefusalAfterTheBrokerWasAway(t *testing.T) {
	t.Parallel()
	for text, kind := range map[string]error{
		"ACCESS_REFUSED - Login was refused": fault.ErrAccess,
		"NOT_FOUND - vhost / not found":      fault.ErrNotFound,
	} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			var warnings []string
			ended := p.waitBehind(t, t.Context(), cfg, &warnings)
			p.answer(func(r *request) bool {
				switch {
				case kind == fault.ErrAccess && r.method == "start-ok": //nolint:errorlint // a table
					r.closeConnection(amqp.AccessRefused, text)
				case kind != fault.ErrAccess && r.method == "open": //nolint:errorlint // a table
					r.closeConnection(amqp.NotAllowed, text)
				default:
					return false
				}
				return true
			})
			p.goAway(time.Minute)
			begun := time.Now()
			err := <-ended
			took := time.Since(begun) - time.Minute
			const patience = wire.DefaultConnectTimeout
			if !errors.Is(err, kind) || took < patience || took > 2*patience {
				t.Errorf("%v, %s after the broker was back", err, took)
			}
		})
	}
}

// One of two nodes refuses us for good. A waiter at the other one still outlives that
// one's restart.
func TestWaiterOutlivesItsNodeBesideOneThatRefuses(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		other := &peer{t: t, heartbeat: 60, queues: map[string]*peerConn{}}
		other.answer(func(r *request) bool {
			if r.method == "start-ok" {
				r.closeConnection(amqp.AccessRefused, "ACCESS_REFUSED - Login was refused")
			}
			return r.method == "start-ok"
		})
		cfg.URLs = []string{"amqp://one/", "amqp://other/"}
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "other:5672" {
				return other.dial(ctx, network, address)
			}
			return p.dial(ctx, network, address)
		}
		var warnings []string
		ended := p.waitBehind(t, t.Context(), cfg, &warnings)
		p.goAway(time.Minute)
		pass(90 * time.Second)
		p.mu.Lock()
		delete(p.queues, cfg.Name)
		p.mu.Unlock()
		if err := <-ended; err != nil || len(warnings) != 2 {
			t.Errorf("%v, warned %q", err, warnings)
		}
	})
}

// A waiter notices a broker that falls silent, as behind a proxy that hangs. It goes on
// when another one answers.
func TestWaiterOutlivesASilentConnection(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		var warnings []string
		ended := p.waitBehind(t, t.Context(), cfg, &warnings)
		p.mu.Lock()
		for _, c := range p.conns {
			c.silent = true
		}
		p.mu.Unlock()
		pass(2 * time.Minute)
		p.mu.Lock()
		delete(p.queues, cfg.Held(1))
		p.mu.Unlock()
		begun := time.Now()
		if err := <-ended; err != nil || time.Since(begun) > time.Minute {
			t.Errorf("%v, %s after the lock came free", err, time.Since(begun))
		}
	})
}

// The first look of a waiter may be answered late. It waits on.
func TestFirstLookThatIsAnsweredLate(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		p.answer(func(r *request) bool {
			if slow := r.method == "claim" || r.method == "publish"; slow {
				r.stall()
				return true
			}
			return false
		})
		time.AfterFunc(15*time.Second, func() { p.answer(nil) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		lock, err := Acquire(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A waiter for several slots that was evicted does not come back, also when its
// connections end before it has obeyed.
func TestEvictedCollectorDoesNotConnectAgain(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Semaphore)
	cfg.Slots = 3
	mustAcquire(t, cfg)
	collector, kill := mortal(ranked(cfg, 0))
	collector.Count = 3
	id, admin, evicted := collector.About().ID, testSession(t, cfg), false
	collector.Log = onLog(func(text string) {
		if evicted || !strings.HasPrefix(text, "granted and checked") {
			return
		}
		evicted = true
		waitFor(t, "it confirms the eviction", func() bool {
			return presence.Evict(t.Context(), admin, cfg.Ref, id, "me") == nil
		})
		kill()
	})
	ctx, cancel := context.WithTimeout(t.Context(), testbroker.Patience)
	defer cancel()
	ended := make(chan error)
	go func() {
		_, err := Acquire(ctx, collector)
		ended <- err
	}()
	awaitWaiters(t, cfg.Name, 1)
	waitq.WakeNext(t.Context(), admin, cfg.Name) // it is the first now, and begins to collect
	if err := <-ended; !errors.Is(err, fault.ErrNotAcquired) ||
		!strings.Contains(err.Error(), "evicted by me") {
		t.Errorf("got %v, want ErrNotAcquired, evicted by me", err)
	}
}
