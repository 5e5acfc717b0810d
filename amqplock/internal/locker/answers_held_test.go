package locker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// The table has what an answer to each request after the first second means to a lock
// that is held. "held" is until it is released, "lost" is at once. "unknown" is until
// the lease runs out, if nothing better comes.
func TestAnswersToHolder(t *testing.T) {
	t.Parallel()
	each(t, []question{
		{"ownership mutex", wire.Mutex, "look", "x"},
		{"ownership slot", wire.Semaphore, "look", "x-B-1"},
		{"slot", wire.Semaphore, "get", "x-A-1"},
		{"majority", wire.Mutex, "get", wire.Witness},
		{"witness", wire.Mutex, "declare", wire.Witness},
		{"last will", wire.Mutex, "declare", wire.WillQueue("x")},
		{"last will consumer", wire.Mutex, "consume", wire.WillQueue("x")},
		{"last will message", wire.Mutex, "publish", wire.WillQueue("x")},
		{"removal notice", wire.Semaphore, "consume", "x-A-1"},
	}, `
		403         | unknown unknown unknown unknown unknown held held held held
		404 gone    | lost    lost    lost    unknown unknown held held held held
		404 down    | lost    lost    unknown unknown unknown held held held held
		404 crashed | lost    lost    unknown unknown unknown held held held held
		404 timeout | lost    lost    unknown unknown unknown held held held held
		405         | lost    lost    unknown unknown unknown held held held held
		406         | unknown unknown unknown unknown unknown held held held held
		320         | lost    lost    unknown unknown lost    lost lost held held
		530         | lost    lost    unknown unknown lost    lost lost held held
		541         | lost    lost    unknown unknown lost    lost lost held held
		cut         | lost    lost    unknown unknown lost    lost lost held held
		silence     | unknown unknown unknown unknown unknown held held held held`,
		func(t *testing.T, p *peer, cfg Config, q question, reply func(*request), want string) {
			lock, err := Acquire(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			asked, stopAt := 0, time.Duration(0)
			p.answer(func(r *request) bool {
				switch {
				// so that there is a question
				case q.queue == wire.Witness && q.method == "declare" && r.method == "get":
					replies["404 gone"](r)
					return true
				case q.is(r):
					asked++
					reply(r)
					return true
				}
				return false
			})
			select {
			case <-lock.Context().Done():
				stopAt = cfg.clock.Now()
			case <-time.After(time.Minute):
			}
			synctest.Wait()
			got := "held"
			switch {
			case stopAt != 0 && stopAt == lock.StopAt():
				got = "unknown"
			case stopAt != 0:
				got = "lost"
			}
			if got != want || asked == 0 {
				t.Errorf("%s, want %s: %v (asked %d times)", got, want, context.Cause(lock.Context()), asked)
			}
			if err := lock.Release(t.Context()); errors.Is(err, fault.ErrLost) != (want != "held") {
				t.Errorf("Release: %v", err)
			}
		})
}

// The table has what an answer during Release means. A "late" loss is reported: the
// broker has said that the lock was lost before. The end of the connection does not say
// that. Nothing keeps the caller.
func TestAnswersToRelease(t *testing.T) {
	t.Parallel()
	each(t, []question{
		{"ownership", wire.Semaphore, "look", "x-B-1"},
		{"slot", wire.Semaphore, "look", "x-A-1"},
		{"delete", wire.Semaphore, "delete", "x-B-1"},
		{"line", wire.Semaphore, "delete", wire.WaitQueue("x")},
		{"close", wire.Semaphore, "close", ""},
	}, `
		403         | done done done done done
		404 gone    | late late done done done
		404 down    | late done done done done
		404 crashed | late done done done done
		404 timeout | late done done done done
		405         | late done done done done
		406         | done done done done done
		320         | done done done done done
		530         | done done done done done
		541         | done done done done done
		cut         | done done done done done
		silence     | done done done done done`,
		func(t *testing.T, p *peer, cfg Config, q question, reply func(*request), want string) {
			lock, err := Acquire(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			lock.stop()
			synctest.Wait()
			p.answer(func(r *request) bool {
				if q.is(r) {
					reply(r)
				}
				return q.is(r)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			err = lock.Release(ctx)
			if late := errors.Is(err, fault.ErrLost); late != (want == "late") || err != nil && !late {
				t.Errorf("%v, want %s", err, want)
			}
			if took := time.Since(began); took > 7*time.Second {
				t.Errorf("took %s", took)
			}
			synctest.Wait()
			if p.owned(q.queue) || slices.ContainsFunc(p.conns, (*peerConn).open) {
				t.Error("the lock is not free")
			}
		})
}

// The wait queue is on a node that is down, and its name is cut off in the answer. By
// then the lock is given back: to look for it once more would find it lost.
func TestReleaseWhileTheWaitQueueIsDown(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg.Name = strings.Repeat("x", 246)
		lock, err := Acquire(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		asked := false
		p.answer(func(r *request) bool {
			down := r.method == "delete" && r.queue == wire.WaitQueue(cfg.Name)
			if down {
				asked = true
				replies["404 down"](r)
			}
			return down
		})
		if err := lock.Release(t.Context()); err != nil || !asked {
			t.Errorf("asked: %t; %v", asked, err)
		}
	})
}

// RabbitMQ 4.2.6 and 4.3.0 let nobody look at a slot with the documented permissions.
func TestReleaseWithoutALookAtTheSlot(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 1)
		lock, err := Acquire(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		deleted, hints := 0, 0
		p.answer(func(r *request) bool {
			switch {
			case r.method == "look" && r.queue == wire.SlotQueue("x", 1):
				replies["403"](r)
				return true
			case r.method == "delete" && r.queue == wire.HeldQueue("x", 1):
				deleted++
			case r.method == "publish" && r.queue == wire.WaitQueue("x"):
				hints++
			}
			return false
		})
		if err := lock.Release(t.Context()); err != nil || deleted != 1 || hints != 1 {
			t.Errorf("deleted %d times, %d hints: %v", deleted, hints, err)
		}
	})
}
