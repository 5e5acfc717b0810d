package locker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// eachInstant runs test with a lock that was taken a moment ago. It does for both
// kinds, short and long heartbeats, and moments from at once to one and a half
// heartbeats ago.
func eachInstant(t *testing.T, test func(t *testing.T, p *peer, lock *Holder)) {
	t.Helper()
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		for _, heartbeat := range []time.Duration{2 * time.Second, 5 * time.Second,
			wire.DefaultHeartbeat} {
			t.Run(fmt.Sprintf("%s, %s", kind, heartbeat), func(t *testing.T) {
				for instant := range 30 {
					inBubble(t, func(t *testing.T, p *peer, cfg Config) {
						p.heartbeat, cfg.Heartbeat, cfg.Log = uint16(heartbeat/time.Second), heartbeat, nil
						cfg.CheckInterval, cfg.StopTime = min(
							heartbeat/4,
							DefaultCheckInterval,
						), min(
							heartbeat/4,
							cfg.StopTime,
						)
						if kind == wire.Semaphore {
							cfg = p.semaphore(cfg, 1)
						}
						lock, err := Acquire(t.Context(), cfg)
						if err != nil {
							t.Fatal(err)
						}
						ago := heartbeat * time.Duration(instant) / 20
						pass(ago)
						test(t, p, lock)
						select {
						case <-lock.Context().Done():
							t.Errorf("after %s: %v", ago, context.Cause(lock.Context()))
						case <-time.After(20 * heartbeat):
						}
						p.mu.Lock()
						p.delay = 0
						p.mu.Unlock()
						_ = lock.Release(t.Context())
					})
				}
			})
		}
	}
}

// A lock is kept where all answers begin to take three tenths of a heartbeat. Yet a
// publish connection that is being opened then takes longer than the lease with its
// channels.
func TestSlowAnswersAreWaitedFor(t *testing.T) {
	t.Parallel()
	eachInstant(t, func(_ *testing.T, p *peer, lock *Holder) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.delay = lock.lease.Heartbeat() * 3 / 10
	})
}

// A lock is kept where the publish connection falls silent, and each new one does.
func TestSilentPublishConnection(t *testing.T) {
	t.Parallel()
	eachInstant(t, func(t *testing.T, p *peer, lock *Holder) {
		hold := p.connOf(lock.link.Lock)
		p.answer(func(r *request) bool { return r.peerConn != hold })
	})
}
