package locker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// adminPatience is how long an administrator waits for another to finish.
const adminPatience = 5 * time.Second

// Adjust changes the number of slots by delta. amqplock.Admin.Adjust documents it.
func Adjust(ctx context.Context, b wire.Broker, name string, delta int) error {
	if delta > wire.MaxSlots || delta < -wire.MaxSlots {
		return fault.Config("a change by %d slots: at most %d are possible", delta, wire.MaxSlots)
	}
	return administer(ctx, b, name, func(ctx context.Context, a *admin) error {
		found, err := a.link.Survey(ctx, name)
		if err != nil {
			return err
		}
		if delta < 0 {
			return a.shrink(ctx, found, -delta)
		}
		if delta > wire.MaxSlots-found.Count {
			return fault.Config("%s on %s has %d slots: with %d more, it would have more than %d",
				a.ref, a.link.Lock.Broker, found.Count, delta, wire.MaxSlots)
		}
		return a.grow(ctx, found, delta)
	})
}

// Resize makes exactly n slots. amqplock.Admin.Resize documents it.
func Resize(ctx context.Context, b wire.Broker, name string, n int) error {
	if n < 0 || n > wire.MaxSlots {
		return fault.Config("%d slots: must be from 0 to %d", n, wire.MaxSlots)
	}
	return administer(ctx, b, name, func(ctx context.Context, a *admin) error {
		found, last, err := a.survey(ctx)
		if err != nil {
			return err
		}
		most := max(found.Count, n)
		// There may be slots behind a hole:
		if err := a.deleteDown(ctx, max(last, most)+wire.Overshoot, most+1); err != nil {
			return err
		}
		if found.Count > n {
			return a.shrink(ctx, found, found.Count-n)
		}
		return a.grow(ctx, found, n-found.Count)
	})
}

// Destroy removes the semaphore. amqplock.Admin.Destroy documents it.
func Destroy(ctx context.Context, b wire.Broker, name string) error {
	return administer(ctx, b, name, func(ctx context.Context, a *admin) error {
		_, last, err := a.survey(ctx)
		if err != nil {
			return err
		}
		if err := a.deleteDown(ctx, last+wire.Overshoot, 0); err != nil {
			return err
		}
		if err := a.delete(ctx, wire.WillQueue(name)); err != nil {
			return err
		}
		if err := a.delete(ctx, wire.LogQueue(name)); err != nil {
			return err
		}
		return a.delete(ctx, wire.WaitQueue(name))
	})
}

// DestroyMutex removes the history of a mutex. amqplock.Client.DestroyMutex documents it.
func DestroyMutex(ctx context.Context, b wire.Broker, name string) error {
	mutex := wire.Ref{Kind: wire.Mutex, Name: name}
	return administerLock(ctx, b, mutex, func(ctx context.Context, a *admin) error {
		return a.delete(ctx, wire.LogQueue(name))
	})
}

// admin changes a semaphore. All it writes goes over the lock connection of the
// administration mutex. So an administrator that loses the mutex with its connection
// cannot go on writing.
type admin struct {
	ref    wire.Ref
	link   *wire.Link
	looked bool // see notGranted
}

// administer is administerLock for a semaphore.
func administer(
	ctx context.Context, b wire.Broker, name string, f func(context.Context, *admin) error,
) error {
	return administerLock(ctx, b, wire.Ref{Kind: wire.Semaphore, Name: name}, f)
}

// administerLock runs f under the administration mutex. Where the broker fails itself
// (541) before that is held, nothing has been changed, and it tries once more. RabbitMQ
// 4.0 does so when the claim crosses the death of another administrator.
func administerLock(
	ctx context.Context, b wire.Broker, lock wire.Ref, f func(context.Context, *admin) error,
) error {
	begun := false
	once := func() error {
		return withAdmin(ctx, b, lock, func(a *admin) error {
			err := a.exclusively(ctx, func() error {
				begun = true
				return f(ctx, a)
			})
			if err == nil {
				waitq.WakeNext(ctx, a.link, lock.Name)
			}
			return err
		})
	}
	err := once()
	if wire.Code(err) == amqp.InternalError && !begun {
		err = once()
	}
	return err
}

// withAdmin connects for f. It closes the connections in the protocol's way also after an
// error: see claims.giveBack.
func withAdmin(ctx context.Context, b wire.Broker, lock wire.Ref, f func(*admin) error) error {
	if err := lock.Check(); err != nil {
		return err
	}
	link, err := wire.Connect(ctx, b.Afresh())
	if err != nil {
		return err
	}
	defer link.Close()
	return f(&admin{ref: lock, link: link})
}

// exclusively runs f under the administration mutex.
func (a *admin) exclusively(ctx context.Context, f func() error) error {
	mutex := a.ref.Name
	err := a.claimPatiently(ctx, mutex)
	if isBusy(err) {
		return &fault.Error{
			Kind: fault.ErrNotAcquired,
			Text: fmt.Sprintf("%s on %s cannot be changed: another administrator, or a mutex of the "+
				"same name, holds queue %q", a.ref, a.link.Lock.Broker, mutex),
			Hint: fmt.Sprintf("try again in a moment; amqprun status --mutex %s shows a mutex of that name",
				shellescape.Quote(mutex)),
		}
	}
	if err != nil {
		return err
	}
	err = f()
	if given := a.delete(ctx, mutex); err == nil {
		err = given
	}
	return err
}

// claimPatiently is claim for adminPatience.
func (a *admin) claimPatiently(ctx context.Context, queue string) error {
	return backoff.Retry(func() error {
		err := a.claim(ctx, "administer "+a.ref.String(), queue)
		if !isBusy(err) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(500*time.Millisecond),
		backoff.WithMaxElapsedTime(adminPatience)), ctx))
}

// claim declares an exclusive queue. The error matches fault.ErrBusy when it is
// another's.
func (a *admin) claim(ctx context.Context, doing, queue string) error {
	if seenHeld(ctx, a.link, queue) {
		return fault.ErrBusy
	}
	err := a.link.Timed(ctx, doing, func() error { return a.link.Requests.Claim(queue) })
	return notGranted(ctx, a.link, a.ref, queue, err, &a.looked)
}

// create makes the semaphore with n slots unless it is there by now: it never resizes.
func (a *admin) create(ctx context.Context, n int) error {
	return a.exclusively(ctx, func() error {
		found, err := a.link.Survey(ctx, a.ref.Name)
		if err != nil {
			return err
		}
		if found.Known {
			return a.complete(ctx, found)
		}
		if err := a.build(ctx, n); err != nil {
			return err
		}
		waitq.WakeNext(ctx, a.link, a.ref.Name)
		return nil
	})
}

// build makes a semaphore that is not there. The first slot and slot 0, which say that
// there is one, come last. So one that was interrupted is not there, and has left the
// slots from 2 on. The next one removes those that are too many, and makes the others.
func (a *admin) build(ctx context.Context, n int) error {
	left, err := a.link.Remains(ctx, a.ref.Name)
	if err != nil {
		return err
	}
	if err := a.deleteDown(ctx, left, max(n+1, 2)); err != nil {
		return err
	}
	for i := range n {
		if err := a.ensure(ctx, (i+1)%n+1); err != nil { // 2, 3, ..., n, 1
			return err
		}
	}
	if err := a.declare(ctx, 0); err != nil {
		return err
	}
	a.link.Broker.Debugf("created %s with %d slots", a.ref, n)
	return nil
}

// complete makes slot 0 where a creation was interrupted just before that. It declares
// the first slot once more, which changes nothing. The broker answers 406 about the
// original's, which is a classic queue.
func (a *admin) complete(ctx context.Context, found wire.Slots) error {
	if found.Ours {
		return nil
	}
	err := a.declare(ctx, 1)
	switch {
	case wire.Code(err) == amqp.PreconditionFailed:
		return nil
	case err != nil:
		return err
	}
	return a.declare(ctx, 0)
}

// survey looks at all slots. last is the number of the last one, also where a creation
// was interrupted.
func (a *admin) survey(ctx context.Context) (found wire.Slots, last int, err error) {
	found, err = a.link.Survey(ctx, a.ref.Name)
	if err != nil || found.Known {
		return found, found.Count, err
	}
	last, err = a.link.Remains(ctx, a.ref.Name)
	return found, last, err
}

// grow adds n slots, or builds a semaphore that is not there.
func (a *admin) grow(ctx context.Context, found wire.Slots, n int) error {
	if !found.Known {
		return a.build(ctx, n)
	}
	if err := a.complete(ctx, found); err != nil || n <= 0 {
		return err
	}
	return a.addAlone(ctx, func() error {
		for i := found.Count + 1; i <= found.Count+n; i++ {
			if err := a.ensure(ctx, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// addAlone runs f, which adds slots, unless all slots are held by one that shall be
// alone. An administrator that may not claim NAME-B-0 adds them all the same.
func (a *admin) addAlone(ctx context.Context, f func() error) error {
	queue := a.ref.Held(0)
	err := a.claimPatiently(ctx, queue)
	switch {
	case isBusy(err):
		return &fault.Error{
			Kind: fault.ErrNotAcquired,
			Text: fmt.Sprintf("%s on %s gets no more slots now: a run has all of them for itself",
				a.ref, a.link.Lock.Broker),
			Hint: fmt.Sprintf("try again when that run has ended; amqprun status --semaphore %s shows it",
				shellescape.Quote(a.ref.Name)),
		}
	case errors.Is(err, fault.ErrAccess):
		a.link.Broker.Debugf("adding slots beside a holder of all of them, if there is one: %v", err)
		return f()
	case err != nil:
		return err
	}
	err = f()
	if given := a.delete(ctx, queue); err == nil {
		err = given
	}
	waitq.WakeNext(ctx, a.link, a.ref.Name) // somebody may have wanted all
	return err
}

// shrink removes the last n slots, and leaves a paused semaphore rather than none.
func (a *admin) shrink(ctx context.Context, found wire.Slots, n int) error {
	if !found.Known {
		return nil
	}
	if err := a.deleteDown(ctx, found.Count, max(found.Count-n, 0)+1); err != nil {
		return err
	}
	if found.Count <= n {
		return a.ensure(ctx, 0)
	}
	return a.complete(ctx, found)
}

// deleteDown removes the slots from the last to the first, so that a half-done removal
// leaves no hole.
func (a *admin) deleteDown(ctx context.Context, last, first int) error {
	for i := last; i >= first; i-- {
		if err := a.delete(ctx, wire.SlotQueue(a.ref.Name, i)); err != nil {
			return err
		}
	}
	return nil
}

// ensure creates slot i unless there is one, perhaps of the original's kind: to declare
// that again with other arguments would be an error.
func (a *admin) ensure(ctx context.Context, i int) error {
	queue := wire.SlotQueue(a.ref.Name, i)
	if missing, err := a.link.Missing(ctx, queue); err != nil || !missing {
		return err
	}
	return a.declare(ctx, i)
}

func (a *admin) declare(ctx context.Context, i int) error {
	queue := wire.SlotQueue(a.ref.Name, i)
	create := func() error { return a.link.Requests.Create(queue) }
	return a.link.Timed(ctx, "create queue "+queue, create)
}

func (a *admin) delete(ctx context.Context, queue string) error {
	remove := func() error { return a.link.Requests.Remove(queue) }
	return a.link.Timed(ctx, "delete queue "+queue, remove)
}
