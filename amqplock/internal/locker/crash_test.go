package locker

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// isArmed reports whether the holder has a last will.
func isArmed(holder *Holder) bool {
	holder.will.mu.Lock()
	defer holder.will.mu.Unlock()
	return holder.will.message != nil
}

// crash does what a kernel does for a process that was killed.
func crash(holder *Holder) { _ = wireOf(holder).Conn.Close() }

// Hints of crashes at the same time are merged into one, and with those of releases.
// Every slot that came free is taken all the same, with the slow retry and the looks from
// behind the first switched off. The waiters keep their slots, so that no later release
// helps.
func TestSlotsOfACommonCrashAreAllTaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                       string
		crashing, leaving, waiters int
	}{{"three crash", 3, 0, 50}, {"three crash, three release", 3, 3, 12}} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t, wire.Semaphore)
			cfg.Slots, cfg.retry, cfg.look, cfg.Log = c.crashing+c.leaving, time.Hour, time.Hour, nil
			holderCfg := cfg
			holderCfg.Dial = dialWire
			var holders []*Holder
			for range cfg.Slots {
				holder := mustAcquire(t, holderCfg)
				waitFor(t, "the last will is armed", func() bool { return isArmed(holder) })
				holders = append(holders, holder)
			}
			granted, holdOn := make(chan struct{}, c.waiters), make(chan struct{})
			var waiters, leavers errgroup.Group
			for range c.waiters {
				waiters.Go(func() error {
					lock, err := Acquire(t.Context(), cfg)
					if err != nil {
						return err
					}
					granted <- struct{}{}
					<-holdOn
					return lock.Release(t.Context())
				})
			}
			awaitWaiters(t, cfg.Name, c.waiters)
			for i, holder := range holders {
				if i < c.crashing {
					crash(holder)
				} else {
					leavers.Go(func() error { return holder.Release(t.Context()) })
				}
			}
			for i := range cfg.Slots {
				testbroker.Receive(t, fmt.Sprintf("slot %d of %d to be taken", i+1, cfg.Slots), granted)
			}
			close(holdOn)
			if err := leavers.Wait(); err != nil {
				t.Error(err)
			}
			if err := waiters.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// RabbitMQ closes the channel of a consumer that keeps a message for half an hour. The
// one that takes its place does the same.
func TestRearmedLastWillWakesTheQueue(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.retry = time.Hour
	holderCfg := cfg
	holderCfg.Dial, holderCfg.rearm = dialWire, time.Second
	holder := mustAcquire(t, holderCfg)
	granted := make(chan string, 1)
	passThrough(t, cfg, granted, "the waiter")
	awaitWaiters(t, cfg.Name, 1)
	const basic, ack = 60, 80
	waitFor(
		t,
		"the last will is armed again",
		func() bool { return wireOf(holder).sent(basic, ack) > 0 && isArmed(holder) },
	)
	crash(holder)
	servedInOrder(t, granted, "the waiter")
}

// The two connections of a holder go different ways through a broker. A new last will
// that overtook the end of the old one would expire, and a crash would give no hint.
func TestLastWillIsRearmedByASlowBroker(t *testing.T) {
	t.Parallel()
	slow := broker.Options{Cost: func(_ *rand.Rand, method, _ string) time.Duration {
		if method == "basic.ack" {
			return 10 * time.Millisecond
		}
		return 0
	}}
	simulatedBy(t, slow, wire.Mutex, func(t *testing.T, _ *broker.Broker, cfg Config) {
		cfg.retry, cfg.look = time.Hour, time.Hour // hints alone
		holder := mustAcquire(t, cfg)
		granted := make(chan string, 1)
		passThrough(t, cfg, granted, "the waiter")
		pass(rearmAfter + time.Minute)
		_ = holder.link.Lock.Socket.Close()
		crashed := time.Now()
		servedInOrder(t, granted, "the waiter")
		if took := time.Since(crashed); took > 2*time.Second {
			t.Errorf("served %s after the crash", took)
		}
	})
}
