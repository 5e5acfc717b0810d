package locker

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A waiter whose lock connection is swallowed by the network finds out by its next try,
// and connects again. Its kernel would take a quarter of an hour to notice.
func TestWaiterWithASilentLockConnection(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		p.queues[cfg.Name] = &peerConn{} // another's
		claims := 0
		p.answer(func(r *request) bool {
			if r.method != "claim" {
				return false
			}
			claims++
			r.serve()
			r.silent = claims == 2 // the first is before the wait queue
			return true
		})
		got := takeLater(t, cfg)
		pass(time.Minute)
		p.mu.Lock()
		delete(p.queues, cfg.Name)
		p.mu.Unlock()
		select {
		case lock := <-got:
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("it waits for ever")
		}
	})
}

// An attempt that makes its semaphore ends also when the broker stops answering in the
// middle, whichever request is the last that it answers.
func TestCreationEndsInSilence(t *testing.T) {
	t.Parallel()
	for answered := 1; ; answered++ {
		left := 0
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cfg.Kind, cfg.Slots = wire.Semaphore, 2
			p.queues[cfg.Name] = &peerConn{} // another administrator's
			left = answered
			p.answer(func(r *request) bool {
				if r.method == "claim" || r.method == "look" || r.method == "channel.open" {
					left--
				}
				return left < 0
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			began := time.Now()
			_, err := TryAcquire(ctx, cfg)
			if !errors.Is(err, fault.ErrNotAcquired) && !errors.Is(err, fault.ErrUnreachable) {
				t.Errorf("silent after %d requests: %v", answered, err)
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("silent after %d requests: it took %s", answered, took)
			}
		})
		if left > 0 {
			return
		}
	}
}

// Whoever could not finish to make a semaphore leaves that to others, whichever request
// was the last that the broker answered.
func TestStalledCreationBlocksNobody(t *testing.T) {
	t.Parallel()
	for began := time.Duration(0); began < time.Second; began += 20 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			b := broker.New(broker.Options{Latency: func(*rand.Rand) time.Duration {
				return 25 * time.Millisecond
			}})
			defer b.Close()
			cfg := Config{
				Broker:   wire.Broker{Dial: b.DialContext},
				Ref:      wire.Ref{Kind: wire.Semaphore, Name: "x"},
				Slots:    2,
				StopTime: 5 * time.Second,
				clock:    &bubbleClock{start: time.Now()},
			}
			first := takeLater(t, cfg)
			pass(began)
			b.Stall("localhost", true)
			pass(10 * time.Second)
			second := takeLater(t, cfg)
			pass(2 * time.Minute)
			b.Stall("localhost", false)
			for _, got := range []<-chan *Holder{first, second} {
				select {
				case lock := <-got:
					defer func() { _ = lock.Release(t.Context()) }()
				case <-time.After(time.Minute):
					t.Fatalf("stalled after %s: somebody waits for ever", began)
				}
			}
		})
	}
}
