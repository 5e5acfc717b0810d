package locker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/lease"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// regainable is a lock of this test that may be regained.
func regainable(t *testing.T, kind wire.Kind) Config {
	t.Helper()
	cfg := testConfig(t, kind)
	cfg.Regain = 20 * time.Second
	cfg.About = func() presence.About { return presence.About{ID: t.Name(), User: "u", Host: "h"} }
	if kind == wire.Semaphore {
		cfg.Slots = 3
	} else {
		t.Cleanup(func() {
			if err := DestroyMutex(context.Background(), cfg.Broker, cfg.Name); err != nil {
				t.Errorf("clean up: %v", err)
			}
		})
	}
	return cfg
}

// named makes another run.
func named(id string) func() presence.About {
	return func() presence.About { return presence.About{ID: id, User: "you", Host: "there"} }
}

func eachRegainable(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Helper()
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, regainable(t, kind))
		})
	}
}

// cut takes a lock and ends its connection.
func cut(t *testing.T, cfg Config) *Holder {
	t.Helper()
	lock := mustAcquire(t, cfg)
	cutOff(t, lock)
	return lock
}

func cutOff(t *testing.T, lock *Holder) {
	t.Helper()
	_ = lock.link.Lock.Socket.Close()
	_ = waitLost(t, lock)
	if !lock.MayRegain() {
		t.Fatal("it must not be regained")
	}
}

func mustRegain(t *testing.T, lost *Holder) *Holder {
	t.Helper()
	lock, err := lost.Regain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Release(context.Background()) })
	return lock
}

// runsOf reads the history.
func runsOf(t *testing.T, cfg Config) []Run {
	t.Helper()
	b, err := cfg.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	runs, err := History(t.Context(), b, cfg.Ref, 10)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// TestAnyIDIsThatOfTheRun: others see it cut and printable, and the run knows itself by
// that.
func TestAnyIDIsThatOfTheRun(t *testing.T) {
	t.Parallel()
	cfg := regainable(t, wire.Mutex)
	cfg.About = named("a\nb" + strings.Repeat("é", 120))
	lock := mustRegain(t, cut(t, cfg))
	var said []presence.Answer
	waitFor(t, "a holder that answers", func() (ok bool) {
		said, _ = Said(t.Context(), lock.cfg.Broker, cfg.Ref)
		return len(said) > 0
	})
	if runs := runsOf(t, cfg); len(runs) != 1 || runs[0].Grant.ID != said[0].About.ID {
		t.Errorf("%q has the runs %+v", said[0].About.ID, runs)
	}
}

// TestTokenWhileALockIsTakenAgain: it can be read at any time, and stays.
func TestTokenWhileALockIsTakenAgain(t *testing.T) {
	t.Parallel()
	lost := cut(t, regainable(t, wire.Mutex))
	token := lost.Token()
	regaining, over := context.WithCancel(t.Context()) // ends also after t.Fatal
	var reading sync.WaitGroup
	reading.Go(func() {
		for regaining.Err() == nil {
			lost.Token()
		}
	})
	next := mustRegain(t, lost)
	over()
	reading.Wait()
	if token == 0 || lost.Token() != token || next.Token() != token {
		t.Errorf("token %d, then %d, of the next %d", token, lost.Token(), next.Token())
	}
}

// TestRegainedIsTheSameRun: the same slot and token, one run in the history. It can be
// lost again.
func TestRegainedIsTheSameRun(t *testing.T) {
	t.Parallel()
	eachRegainable(t, func(t *testing.T, cfg Config) {
		lock := mustAcquire(t, cfg)
		slots, token := lock.Slots(), lock.Token()
		for range 2 {
			cutOff(t, lock)
			lock = mustRegain(t, lock)
			if lock.Slots()[0] != slots[0] || lock.Token() != token || token == 0 {
				t.Errorf("slot %v with token %d, before %v with %d", lock.Slots(), lock.Token(), slots, token)
			}
			if err := lock.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		runs := runsOf(t, cfg)
		if len(runs) != 1 || runs[0].End == nil || runs[0].End.Result != "released" ||
			runs[0].Grant.Token != token || runs[0].End.Token != token {
			t.Errorf("runs: %+v", runs)
		}
		if next := mustAcquire(t, cfg); next.Token() <= token {
			t.Errorf("token %d after %d", next.Token(), token)
		}
	})
}

// TestSilenceCanBeRegained: the broker still serves the old connection, which we have to
// close.
func TestSilenceCanBeRegained(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{now: 1000 * time.Second}
	cfg := regainable(t, wire.Mutex)
	cfg.clock = clock
	lock := mustAcquire(t, cfg)
	lock.stop() // no answer renews the lease
	clock.jump(time.Hour)
	lock.expire()
	if !lock.MayRegain() {
		t.Fatal(context.Cause(lock.Context()))
	}
	mustRegain(t, lock)
}

// TestRegainFindsAnotherHolder who holds the lock, and then one who held it.
func TestRegainFindsAnotherHolder(t *testing.T) {
	t.Parallel()
	eachRegainable(t, func(t *testing.T, cfg Config) {
		cfg.Slots = min(cfg.Slots, 1)
		lock := cut(t, cfg)
		lock.disconnect()
		rival := cfg
		rival.Regain, rival.History = 0, true // which does not wait
		rival.About = named("rival")
		other := mustAcquire(t, rival)
		patient := make(chan error, 1)
		go func() {
			_, err := lock.Regain(context.Background())
			patient <- err
		}()
		select {
		case err := <-patient:
			t.Fatalf("regained beside another: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
		if err := other.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := <-patient
		if !errors.Is(err, fault.ErrLost) ||
			!strings.Contains(err.Error(), "granted to a run of you@there") {
			t.Errorf("got %v", err)
		}
		if err := lock.Release(t.Context()); !errors.Is(err, fault.ErrLost) {
			t.Errorf("Release: %v", err)
		}
		runs := runsOf(t, cfg)
		if len(runs) != 2 || runs[0].End == nil || runs[0].End.Result != "lost" {
			t.Errorf("runs: %+v", runs)
		}
		mustAcquire(t, rival) // nothing is left
	})
}

// TestRegainEndsInTime while another holds the lock that keeps no history.
func TestRegainEndsInTime(t *testing.T) {
	t.Parallel()
	cfg := regainable(t, wire.Mutex)
	cfg.Regain = 500 * time.Millisecond
	lock := cut(t, cfg)
	lock.disconnect()
	rival := cfg
	rival.Regain = 0
	mustAcquire(t, rival)
	_, err := lock.Regain(t.Context())
	if !errors.Is(err, fault.ErrLost) ||
		!strings.Contains(err.Error(), "not taken again within 500ms") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = lock.Regain(ctx); !errors.Is(err, fault.ErrLost) {
		t.Errorf("got %v", err)
	}
}

// TestRegainWithoutTheHistory: nobody knows whether another has had the lock.
func TestRegainWithoutTheHistory(t *testing.T) {
	t.Parallel()
	cfg := regainable(t, wire.Mutex)
	lock := cut(t, cfg)
	lock.disconnect()
	if err := DestroyMutex(t.Context(), cfg.Broker, cfg.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Regain(t.Context()); !errors.Is(err, fault.ErrLost) ||
		!strings.Contains(err.Error(), "nobody knows") {
		t.Errorf("got %v", err)
	}
}

func TestRegainOfASlotThatWasRemoved(t *testing.T) {
	t.Parallel()
	cfg := regainable(t, wire.Semaphore)
	cfg.Slots = 1
	lock := cut(t, cfg)
	lock.disconnect()
	if err := Resize(t.Context(), cfg.Broker, cfg.Name, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Regain(t.Context()); !errors.Is(err, fault.ErrLost) ||
		!strings.Contains(err.Error(), "it was removed") {
		t.Errorf("got %v", err)
	}
}

// fullClock has no alarms left for a while, as a process without free descriptors.
type fullClock struct {
	lease.Clock
	fails atomic.Int32 // so many times more
}

func (f *fullClock) NewAlarm() (lease.Alarm, error) {
	if f.fails.Add(-1) >= 0 {
		return nil, errors.New("too many open files")
	}
	return f.Clock.NewAlarm()
}

// TestRegainOutlivesAFailureOfTheMachine that comes behind the record of the regain.
func TestRegainOutlivesAFailureOfTheMachine(t *testing.T) {
	t.Parallel()
	cfg := regainable(t, wire.Mutex)
	clock := &fullClock{Clock: lease.BootClock{}}
	cfg.clock = clock
	lost := cut(t, cfg)
	clock.fails.Store(2)
	lock := mustRegain(t, lost)
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs := runsOf(t, cfg)
	if len(runs) != 1 || runs[0].End == nil || runs[0].End.Result != "released" {
		t.Errorf("runs: %+v", runs)
	}
}

// TestOtherLossesAreFinal: an eviction and a lock that is another's.
func TestOtherLossesAreFinal(t *testing.T) {
	t.Parallel()
	cfg := regainable(t, wire.Mutex)
	lock := mustAcquire(t, cfg)
	lock.lose(lock.String(), errors.New("evicted by a test"))
	_ = lock.link.Lock.Socket.Close() // comes second
	if _, err := lock.Regain(t.Context()); lock.MayRegain() || !errors.Is(err, fault.ErrLost) {
		t.Errorf("got %v", err)
	}
	cfg.Name, cfg.Regain, cfg.Fence = cfg.Name+"2", 0, true
	t.Cleanup(func() { _ = DestroyMutex(context.Background(), cfg.Broker, cfg.Name) })
	lock = mustAcquire(t, cfg)
	_ = lock.link.Lock.Socket.Close()
	_ = waitLost(t, lock)
	if lock.MayRegain() {
		t.Error("without Config.Regain")
	}
}

// TestALockThatWasNotLost: it is held, or was released.
func TestALockThatWasNotLost(t *testing.T) {
	t.Parallel()
	lock := mustAcquire(t, regainable(t, wire.Mutex))
	for _, what := range []string{"held", "released"} {
		if again, err := lock.Regain(t.Context()); !errors.Is(err, fault.ErrConfig) {
			t.Errorf("%s: got %v, %v", what, again, err)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestEvictionAfterACut: an eviction that arrives after the end of the lock connection is
// confirmed, so the lock is not taken again.
func TestEvictionAfterACut(t *testing.T) {
	t.Parallel()
	simulated(t, wire.Mutex, func(t *testing.T, b *broker.Broker, cfg Config) {
		cfg.Regain, cfg.About = time.Minute, named("evicted")
		lock, _ := held5s(t, cfg)
		lock.link.Lock.Socket.(*broker.Socket).Reset()
		<-lock.Context().Done()
		if !lock.MayRegain() {
			t.Fatal(context.Cause(lock.Context()))
		}
		if err := Evict(t.Context(), cfg.Broker, cfg.Ref, "evicted", "me"); err != nil {
			t.Fatal(err)
		}
		if lock.MayRegain() {
			t.Error("it may be regained")
		}
		if _, err := lock.Regain(t.Context()); !errors.Is(err, fault.ErrLost) {
			t.Errorf("Regain: %v", err)
		}
		_ = lock.Release(t.Context())
	})
}
