package amqplock

import (
	"context"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

// isArmed tells whether the holder's death will be told.
func isArmed(holder *Lock) bool {
	holder.tripwire.mu.Lock()
	defer holder.tripwire.mu.Unlock()
	return holder.tripwire.message != nil
}

// crash does what a kernel does for a process that was killed.
func crash(holder *Lock) { _ = wireOf(holder).Conn.Close() }

// Hints of crashes at the same time are merged into one, and with those of releases: every slot that came free is taken all the same, with the
// slow retry switched off, by waiters who hold on, so that no later release helps.
func TestSlotsOfACommonCrashAreAllTaken(t *testing.T) {
	for _, c := range []struct {
		name                       string
		crashing, leaving, waiters int
	}{{"three crash", 3, 0, 50}, {"three crash, three release", 3, 3, 12}} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t, Semaphore)
			cfg.Slots, cfg.retry, cfg.Logf = c.crashing+c.leaving, time.Hour, nil
			holderCfg := cfg
			holderCfg.Dial = dialWire
			var holders []*Lock
			for range cfg.Slots {
				holder := mustAcquire(t, holderCfg)
				waitFor(t, "the tripwire is armed", func() bool { return isArmed(holder) })
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
			waitFor(t, "all are in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == c.waiters })
			for i, holder := range holders {
				if i < c.crashing {
					crash(holder)
				} else {
					leavers.Go(func() error { return holder.Release(t.Context()) })
				}
			}
			for i := range cfg.Slots {
				select {
				case <-granted:
				case <-time.After(10 * time.Second):
					t.Fatalf("%d of %d free slots are taken", i, cfg.Slots)
				}
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

// resetOnly is a backoff that gives no more tries until it is reset: one that has waited for long.
type resetOnly struct{ reset bool }

func (b *resetOnly) Reset() { b.reset = true }

func (b *resetOnly) NextBackOff() time.Duration {
	if b.reset {
		return time.Millisecond
	}
	return time.Hour
}

var _ backoff.BackOff = (*resetOnly)(nil)

// A hint may come before the broker has done what it is about: the removal of a dead holder's queue has to get through the metadata store, and the hint of
// the crash may have been replaced by that of a release, after which there is one try. Then the slow tries begin anew, and do not wait as long
// as they do in the end.
func TestTriesBeginAnewAfterAHintInVain(t *testing.T) {
	for _, c := range []struct {
		name  string
		queue func(string) string
		tries int
	}{{"release", lineQueue, 1}, {"crash", tripQueue, 1 + len(afterCrash)}} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t, Mutex)
			s := testSession(t, cfg)
			place, err := s.join(t.Context(), s.openLine(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			channel := testChannel(t)
			if _, err := channel.QueueDeclare(tripQueue(cfg.Name), true, false, false, false, tripArgs(cfg.Name)); err != nil {
				t.Fatal(err)
			}
			if err := channel.PublishWithContext(t.Context(), "", c.queue(cfg.Name), true, false, amqp.Publishing{}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			s.why = errBusy
			tries := 0
			err = s.standIn(ctx, place, time.Hour, &resetOnly{}, func(context.Context) error {
				if tries++; tries > c.tries {
					return nil
				}
				return errBusy
			})
			if err != nil || tries != c.tries+1 || ctx.Err() != nil {
				t.Errorf("%d tries, %v; want one more than the %d of the hint", tries, err, c.tries)
			}
		})
	}
}

// RabbitMQ closes the channel of a consumer that keeps a message for half an hour. The one that takes its place does the same.
func TestRearmedTripwireWakesTheLine(t *testing.T) {
	cfg := testConfig(t, Mutex)
	cfg.retry = time.Hour
	holderCfg := cfg
	holderCfg.Dial, holderCfg.rearm = dialWire, time.Second
	holder := mustAcquire(t, holderCfg)
	got := make(chan error, 1)
	go func() {
		lock, err := Acquire(t.Context(), cfg)
		if err == nil {
			err = lock.Release(t.Context())
		}
		got <- err
	}()
	waitFor(t, "the waiter is in line", func() bool { return consumers(t, lineQueue(cfg.Name)) == 1 })
	const basic, ack = 60, 80
	waitFor(t, "the tripwire is armed again", func() bool { return wireOf(holder).sent(basic, ack) > 0 && isArmed(holder) })
	crash(holder)
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the waiter was not woken")
	}
}
