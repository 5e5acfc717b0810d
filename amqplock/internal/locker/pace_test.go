package locker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// count has the peer answer each such request with reply, and counts them.
func (p *peer) count(q question, reply string) (asked func() int) {
	n := 0
	p.answer(func(r *request) bool {
		if !q.is(r) {
			return false
		}
		n++
		replies[reply](r)
		return true
	})
	return func() int { // the checks go on meanwhile
		p.mu.Lock()
		defer p.mu.Unlock()
		return n
	}
}

// Each answer with an error costs the broker a channel, and a line of its log. So what
// may get one for long is asked a few times a second at most.

func TestPaceOfAVerification(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		lock, clock := held5s(t, cfg)
		begun := clock.Now()
		asked := p.count(question{method: "get", queue: wire.Witness}, "404 down")
		if err := lock.Verify(t.Context()); !errors.Is(err, fault.ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		took := clock.Now() - begun
		if n, most := asked(), 2*int(took/time.Second)+10; n < 5 || n > most {
			t.Errorf("asked %d times in %s, want at most %d", n, took, most)
		}
		_ = lock.Release(t.Context())
	})
}

// The broker accepts each connection, and its answer to the claim says nothing.
func TestPaceOfARegain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		lock, _ := held5s(t, cfg)
		lock.cfg.Regain = time.Minute
		p.connOf(lock.link.Lock).cut()
		<-lock.Context().Done()
		asked := p.count(question{method: "claim", queue: "x"}, "404 down")
		if _, err := lock.Regain(t.Context()); !errors.Is(err, fault.ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		if n := asked(); n < 60 || n > 240 {
			t.Errorf("claimed %d times in a minute", n)
		}
		_ = lock.Release(t.Context())
	})
}

// The node of the lock connection refuses a slot. That of the publish connection sees it
// free.
func TestPaceOfADrain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 2)
		cfg, err := cfg.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		asked, q := 0, question{method: "claim", queue: wire.HeldQueue("x", 2)}
		p.answer(func(r *request) bool {
			if !q.is(r) {
				return false
			}
			if asked++; asked > 25 { // without a pause no time passes here
				cancel()
			}
			replies["405"](r)
			return true
		})
		if err := Drain(ctx, cfg.Broker, "x", 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if asked < 5 || asked > 25 {
			t.Errorf("claimed %d times in 10s", asked)
		}
	})
}

// The node of the wait queue is down.
func TestPaceOfAWaiter(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		p.queues["x"] = &peerConn{} // another holds it
		asked := p.count(question{method: "declare", queue: wire.WaitQueue("x")}, "404 down")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := Acquire(ctx, cfg); !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("got %v, want ErrNotAcquired", err)
		}
		if n := asked(); n < 5 || n > 30 {
			t.Errorf("the wait queue was declared %d times in a minute", n)
		}
	})
}
