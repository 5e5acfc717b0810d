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
// for, and no more of them can be held. None is left for which a run has to ask the
// witness: the documented permissions do not suffice for that.
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
				inBubble(t, func(t *testing.T, p *peer, cfg Config) {
					cfg.Kind, cfg.Log = wire.Semaphore, nil // of some hundred rounds
					p.answer(refuseWitness)
					fate := &axe{left: n, via: p.dial}
					killed := cfg
					killed.Slots, killed.Dial = begun, fate.dial
					if lock, err := TryAcquire(t.Context(), killed); err == nil {
						_ = lock.Release(t.Context())
					}
					fallen = fate.hasFallen()
					pass(time.Minute)
					_, notMade := Look(t.Context(), cfg.Broker, cfg.Ref)
					if err := next(t.Context(), cfg); err != nil {
						t.Fatalf("killed after %d methods: %v", n, err)
					}
					if notMade == nil { // it has another number of slots
						taken(t, cfg)
						return
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
			p.answer(refuseWitness)
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

// refuseWitness is how a broker answers one with the documented permissions.
func refuseWitness(r *request) bool {
	refused := r.method == "get" && r.queue == wire.Witness
	if refused {
		replies["403"](r)
	}
	return refused
}

// completions are what finishes a creation that has made all of three slots but slot 0.
var completions = map[string]func(context.Context, Config) error{
	"none": func(ctx context.Context, cfg Config) error {
		return Adjust(ctx, cfg.Broker, cfg.Name, 0)
	},
	"more": func(ctx context.Context, cfg Config) error {
		return Adjust(ctx, cfg.Broker, cfg.Name, 1)
	},
	"less": func(ctx context.Context, cfg Config) error {
		return Resize(ctx, cfg.Broker, cfg.Name, 1)
	},
	"drain": func(ctx context.Context, cfg Config) error {
		return DrainTo(ctx, cfg.Broker, cfg.Name, 1)
	},
}

// eachCompletion has test make each change, at slots without slot 0.
func eachCompletion(
	t *testing.T, test func(t *testing.T, p *peer, cfg Config, change func() error),
) {
	t.Helper()
	for name, change := range completions {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				cfg = p.semaphore(cfg, 3)
				delete(p.queues, wire.SlotQueue("x", 0))
				test(t, p, cfg, func() error { return change(t.Context(), cfg) })
			})
		})
	}
}

// The next change finishes a creation that lacks nothing but slot 0.
func TestCreationWithoutSlot0IsFinished(t *testing.T) {
	t.Parallel()
	eachCompletion(t, func(t *testing.T, p *peer, cfg Config, change func() error) {
		p.answer(refuseWitness)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		taken(t, cfg)
	})
}

// The original's slots get no slot 0, which would say that they prove a majority. Each
// question about them leaves an error in the broker's log. So a change asks once, and a
// run that may ask the witness never.
func TestOriginalsSlotsStayTheOriginals(t *testing.T) {
	t.Parallel()
	eachCompletion(t, func(t *testing.T, p *peer, cfg Config, change func() error) {
		asked, may := 0, true
		p.answer(func(r *request) bool {
			if r.method == "declare" && r.queue == wire.SlotQueue("x", 1) {
				asked++
				replies["406"](r)
				return true
			}
			return !may && refuseWitness(r)
		})
		if err := change(); err != nil || asked != 1 {
			t.Errorf("asked %d times: %v", asked, err)
		}
		cfg.Slots = 3
		taken(t, cfg)
		if asked != 1 {
			t.Error("a run asked")
		}
		may = false
		if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrAccess) {
			t.Errorf("without the witness: %v, want ErrAccess", err)
		}
		if _, made := p.queues[wire.SlotQueue("x", 0)]; made {
			t.Error("slot 0 was made")
		}
	})
}

// A run that may not make slots says which permission is missing for those that it found.
func TestCreationWithoutSlot0StaysWithoutThePermission(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 3)
		cfg.Slots = 3
		delete(p.queues, wire.SlotQueue("x", 0))
		p.answer(func(r *request) bool {
			refused := r.method == "claim" && r.queue == "x"
			if refused {
				replies["403"](r)
			}
			return refused || refuseWitness(r)
		})
		_, err := TryAcquire(t.Context(), cfg)
		if !errors.Is(err, fault.ErrAccess) || !strings.Contains(err.Error(), wire.Witness) {
			t.Errorf("got %v", err)
		}
	})
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
