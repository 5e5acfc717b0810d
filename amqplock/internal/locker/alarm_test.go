package locker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A waiter outlives an alarm, with the place in the wait queue that it had before.
func TestWaiterInAnAlarm(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, p *peer, cfg Config) {
		held := cfg.Held(1)          // of a mutex, too
		p.queues[held] = &peerConn{} // another's
		got := takeLater(t, cfg)
		pass(3 * time.Second)
		var publish *peerConn
		p.mu.Lock()
		for _, c := range p.conns {
			if c.published {
				publish = c
			}
		}
		publish.alarm("low on memory")
		p.mu.Unlock()
		pass(time.Minute)
		p.mu.Lock()
		publish.alarmOver()
		delete(p.queues, held)
		p.mu.Unlock()
		began := time.Now()
		lock := <-got
		if lock == nil {
			return
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("granted %s after the alarm", took)
		}
		if n := p.sawAll("consume"); n != 1 {
			t.Errorf("joined the wait queue %d times", n)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A waiter that comes during the alarm waits too.
func TestNewcomerInAnAlarm(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 1)
		over := false
		p.answer(func(r *request) bool {
			if r.method == "publish" && !over {
				r.alarm("low on disk")
				return true
			}
			return false
		})
		got := takeLater(t, cfg)
		pass(30 * time.Second)
		p.mu.Lock()
		over = true
		for _, c := range p.conns {
			if c.blocked {
				c.alarmOver()
			}
		}
		p.mu.Unlock()
		synctest.Wait()
		if lock := <-got; lock != nil {
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// All of them keep their places: they are served in the order in which they came.
func TestOrderOutlivesAnAlarm(t *testing.T) {
	t.Parallel()
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		simulated(t, kind, func(t *testing.T, b *broker.Broker, cfg Config) {
			if kind == wire.Semaphore {
				cfg.Slots = 1
			}
			holder := mustAcquire(t, cfg)
			const waiters = 8
			granted := make(chan int, waiters)
			for i := range waiters {
				passThrough(t, cfg, granted, i)
				pass(3 * time.Second)
			}
			b.Alarm("memory")
			pass(time.Minute)
			b.Alarm("")
			pass(time.Second)
			if err := holder.Release(t.Context()); err != nil {
				t.Error(err)
			}
			servedInOrder(t, granted, 0, 1, 2, 3, 4, 5, 6, 7)
		})
	}
}
