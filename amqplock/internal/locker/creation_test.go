package locker

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// Whatever a killed creation has left, the next semaphore has the slots that were asked
// for, and no more of them can be held.
func TestRemainsOfACreationAreNoSlots(t *testing.T) {
	t.Parallel()
	const begun, want = 12, 3
	for name, next := range map[string]func(context.Context, Config) error{
		"create": func(ctx context.Context, cfg Config) error {
			cfg.Slots = want
			lock, err := Acquire(ctx, cfg)
			if err == nil {
				err = lock.Release(ctx)
			}
			return err
		},
		"adjust": func(ctx context.Context, cfg Config) error {
			return Adjust(ctx, cfg.Broker, cfg.Name, want)
		},
		"resize": func(ctx context.Context, cfg Config) error {
			return Resize(ctx, cfg.Broker, cfg.Name, want)
		},
		"drain": func(ctx context.Context, cfg Config) error {
			return DrainTo(ctx, cfg.Broker, cfg.Name, want)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n, fallen := 1, true; fallen; n++ {
				simulated(t, wire.Semaphore, func(t *testing.T, b *broker.Broker, cfg Config) {
					cfg.Log = nil // of some hundred rounds
					fate := &axe{left: n, via: b.DialContext}
					killed := cfg
					killed.Slots, killed.Dial = begun, fate.dial
					if lock, err := TryAcquire(t.Context(), killed); err == nil {
						_ = lock.Release(t.Context())
					}
					fallen = fate.hasFallen()
					pass(time.Minute)
					if _, err := Look(t.Context(), cfg.Broker, cfg.Ref); err == nil {
						return // it was made
					}
					if err := next(t.Context(), cfg); err != nil {
						t.Fatalf("killed after %d methods: %v", n, err)
					}
					held := 0
					for range begun + 1 {
						for _, slots := range []int{0, begun} { // what they expect
							mine := cfg
							mine.Slots = slots
							lock, err := TryAcquire(t.Context(), mine)
							if err == nil {
								held++
								defer func() { _ = lock.Release(t.Context()) }()
							}
						}
					}
					if held != want {
						t.Errorf("killed after %d methods: %d hold slots, want %d", n, held, want)
					}
				})
			}
		})
	}
}

// The first starters of a semaphore that does not exist get their slots, also those that
// do not wait for others. Quorum queues take their time to be made, and RabbitMQ answers
// 541 about one that is not ready.
func TestFirstStartersGetTheirSlots(t *testing.T) {
	t.Parallel()
	const slots = 10
	for _, release := range []broker.Release{broker.V310, broker.V40, broker.V43} {
		for seed := range uint64(20) {
			synctest.Test(t, func(t *testing.T) {
				b := broker.New(broker.Options{Release: release, Seed: seed,
					Latency: func(dice *rand.Rand) time.Duration {
						return time.Duration(dice.Int64N(int64(5 * time.Millisecond)))
					}})
				defer b.Close()
				b.QuorumDelay(30 * time.Millisecond)
				cfg := Config{
					Broker: wire.Broker{Dial: b.DialContext},
					Ref:    wire.Ref{Kind: wire.Semaphore, Name: "x"},
					Slots:  slots, clock: &bubbleClock{start: time.Now()},
				}
				var starters errgroup.Group
				got := make(chan *Holder, slots)
				for range slots {
					starters.Go(func() error {
						lock, err := TryAcquire(t.Context(), cfg)
						if err == nil {
							got <- lock
						}
						return err
					})
				}
				if err := starters.Wait(); err != nil {
					t.Errorf("RabbitMQ %s, seed %d: %v", release, seed, err)
				}
				close(got)
				for lock := range got {
					_ = lock.Release(t.Context())
				}
			})
		}
	}
}

// A newcomer may meet a semaphore of which slot 0 is still to be made, as if it were the
// original's. It has the documented permissions, and so none for the witness.
func TestNewcomerBesideACreation(t *testing.T) {
	t.Parallel()
	for made, want := range map[bool]error{true: nil, false: fault.ErrAccess} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cfg = p.semaphore(cfg, 1)
			delete(p.queues, wire.SlotQueue("x", 0))
			p.answer(func(r *request) bool {
				refused := r.method == "get" && r.queue == wire.Witness
				if refused {
					replies["403"](r)
				}
				return refused
			})
			p.heldFor("x", time.Second) // by an administrator
			time.AfterFunc(time.Second/2, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				if made {
					p.queues[wire.SlotQueue("x", 0)] = nil
				}
			})
			lock, err := TryAcquire(t.Context(), cfg)
			if !errors.Is(err, want) {
				t.Errorf("slot 0 is made: %t: %v, want %v", made, err, want)
			}
			if lock != nil {
				_ = lock.Release(t.Context())
			}
		})
	}
}

// One that could not make the semaphore, because somebody else was about to, waits. It
// gets a hint when there is one.
func TestWaitersLearnOfACreation(t *testing.T) {
	t.Parallel()
	simulated(t, wire.Semaphore, func(t *testing.T, _ *broker.Broker, cfg Config) {
		cfg.Slots, cfg.retry, cfg.look = 2, time.Hour, time.Hour // hints alone
		other := testSession(t, cfg)
		if err := other.Requests.Claim("x"); err != nil { // as an administrator
			t.Fatal(err)
		}
		if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
			t.Errorf("while another makes it: %v, want ErrNotAcquired", err)
		}
		waiter := takeLater(t, cfg)
		pass(time.Minute)
		other.Abort()
		lock, err := TryAcquire(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		select {
		case second := <-waiter:
			_ = second.Release(t.Context())
		default:
			t.Error("the waiter got no hint")
		}
		_ = lock.Release(t.Context())
	})
}

// The administration of a semaphore needs the queue that is the mutex of its name.
func TestCreationBesideAMutexOfTheName(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, _ *peer, cfg Config) {
		mustAcquire(t, cfg)
		cfg.Kind, cfg.Slots = wire.Semaphore, 3
		_, err := TryAcquire(t.Context(), cfg)
		if !errors.Is(err, fault.ErrNotAcquired) ||
			!strings.Contains(err.Error(), "a mutex of its name") {
			t.Error(err)
		}
	})
}
