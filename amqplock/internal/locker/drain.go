package locker

import (
	"context"
	"fmt"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// drainPoll is between two looks at the slot that is to be removed next. A look is two
// messages, and every tenth one is four: less than five operations a second. Nobody takes
// the slot meanwhile, so there is no hurry.
const (
	drainPoll = 500 * time.Millisecond
	slotPolls = 10
)

// Drain removes the last n slots, each when its holder has left. amqplock.Admin.Drain
// documents it.
func Drain(ctx context.Context, b wire.Broker, name string, n int) error {
	if n < 0 {
		return fault.Config("%d slots cannot be drained", n)
	}
	return withDrain(ctx, b, name, func(a *admin) error {
		found, err := a.link.Count(ctx, name)
		if err != nil || found.Count == 0 {
			return err
		}
		if err := a.announce(ctx, max(found.Count-n, 0)); err != nil {
			return err
		}
		_, err = a.drainWhile(ctx, found.Count, func(count, removed int) bool {
			return count > 0 && removed < n
		})
		return err
	})
}

// DrainTo leaves n slots. amqplock.Admin.DrainTo documents it.
func DrainTo(ctx context.Context, b wire.Broker, name string, n int) error {
	if n < 0 || n > wire.MaxSlots {
		return fault.Config("%d slots: must be from 0 to %d", n, wire.MaxSlots)
	}
	return withDrain(ctx, b, name, func(a *admin) error {
		if err := a.announce(ctx, n); err != nil {
			return err
		}
		for done := false; !done; {
			found, err := a.link.Count(ctx, name)
			if err == nil {
				found.Count, err = a.drainWhile(ctx, found.Count, func(count, _ int) bool { return count > n })
			}
			if err == nil {
				done, err = a.fill(ctx, n)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// withDrain runs f while it holds the mark of a drain, which ends with the connection at
// the latest.
func withDrain(
	ctx context.Context, b wire.Broker, name string, f func(*admin) error,
) error {
	return withAdmin(ctx, b, wire.Ref{Kind: wire.Semaphore, Name: name}, func(a *admin) error {
		mark := wire.DrainQueue(name)
		err := a.claim(ctx, "drain "+a.ref.String(), mark)
		if isBusy(err) {
			return &fault.Error{
				Kind: fault.ErrNotAcquired,
				Text: fmt.Sprintf("%s on %s is being drained already", a.ref, a.link.Lock.Broker),
				Hint: "wait until that has ended, or stop it, and try again",
			}
		}
		if err == nil {
			err = f(a)
		}
		if err != nil {
			return err
		}
		for _, queue := range []string{wire.DrainTarget(name), mark} {
			if err := a.delete(ctx, queue); err != nil {
				return err
			}
		}
		waitq.WakeNext(ctx, a.link, name) // others have left free slots to us
		return nil
	})
}

// announce says how many slots will be left, see wire.DrainTarget. The queues of a drain
// that was killed may outlive its mark for a moment.
func (a *admin) announce(ctx context.Context, n int) error {
	for _, queue := range append(wire.TargetBits(a.ref.Name, n), wire.DrainTarget(a.ref.Name)) {
		if err := a.claimPatiently(ctx, queue); err != nil {
			return err
		}
	}
	return nil
}

// drainWhile removes the last slot, of count, again and again while more says so. It
// returns how many slots there are then.
func (a *admin) drainWhile(
	ctx context.Context, count int, more func(count, removed int) bool,
) (int, error) {
	for removed := 0; more(count, removed); {
		if err := a.awaitFree(ctx, count); err != nil {
			return count, err
		}
		done, err := a.removeFree(ctx, count)
		switch {
		case err != nil:
			return count, err
		case done:
			removed++
			count--
			continue
		}
		found, err := a.link.Count(ctx, a.ref.Name) // another administrator has changed it
		if err != nil {
			return count, err
		}
		count = found.Count
	}
	return count, nil
}

// awaitFree blocks until nobody holds the last slot, or it is not there.
func (a *admin) awaitFree(ctx context.Context, last int) error {
	held, slot := a.ref.Held(last), wire.SlotQueue(a.ref.Name, last)
	for polls := 0; ; polls++ {
		free, err := a.link.Missing(ctx, held)
		if err == nil && !free && polls%slotPolls == 0 { // another administrator may have changed it
			free, err = a.link.Missing(ctx, slot)
		}
		if err != nil || free {
			return err
		}
		if polls == 0 {
			a.link.Broker.Debugf("waiting for the holder of slot %d", last)
		}
		if err := wire.Pause(ctx, drainPoll); err != nil {
			return err
		}
	}
}

// removeFree removes slot last if it can be taken and is still the last: another
// administrator may have added slots.
func (a *admin) removeFree(ctx context.Context, last int) (removed bool, err error) {
	held := a.ref.Held(last)
	err = a.claim(ctx, fmt.Sprintf("take slot %d", last), held)
	if isBusy(err) { // perhaps for long: only the node of the publish connection sees it free
		return false, wire.Pause(ctx, drainPoll)
	}
	if err != nil {
		return false, err
	}
	err = a.exclusively(ctx, func() error {
		fewer, more, err := a.link.Compare(ctx, a.ref.Name, last)
		if err != nil || fewer || more {
			return err
		}
		removed = true
		// As if it were ours: else it would ask the broker about that at each slot.
		return a.shrink(ctx, wire.Slots{Known: true, Ours: true, Count: last}, 1)
	})
	if err == nil {
		err = a.delete(ctx, held)
	}
	if err != nil {
		return false, err
	}
	// The slot was kept from others for a moment, or somebody may want all that are left.
	waitq.WakeNext(ctx, a.link, a.ref.Name)
	return removed, nil
}

// fill adds slots up to n. It reports false where there are more by now.
func (a *admin) fill(ctx context.Context, n int) (done bool, err error) {
	err = a.exclusively(ctx, func() error {
		found, err := a.link.Count(ctx, a.ref.Name)
		if err != nil || found.Count > n {
			return err
		}
		done = true
		return a.grow(ctx, found, n-found.Count)
	})
	return done && err == nil, err
}
