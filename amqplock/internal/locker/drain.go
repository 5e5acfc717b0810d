package locker

import (
	"context"
	"fmt"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// drainPoll is between two looks at the slot that is to be removed next. Nobody takes it
// meanwhile, so there is no hurry.
const drainPoll = 50 * time.Millisecond

// Drain removes the last n slots, each when its holder has left. amqplock.Admin.Drain
// documents it.
func Drain(ctx context.Context, b wire.Broker, name string, n int) error {
	return withAdmin(ctx, b, wire.Ref{Kind: wire.Semaphore, Name: name}, func(a *admin) error {
		mark := wire.DrainQueue(name)
		err := a.claim(ctx, "drain "+a.ref.String(), mark)
		if isBusy(err) {
			return &fault.Error{
				Kind: fault.ErrNotAcquired,
				Text: fmt.Sprintf("%s on %s is being drained already", a.ref, a.link.Lock.Broker),
			}
		}
		if err != nil {
			return err
		}
		for range n {
			if done, err := a.drainOne(ctx); err != nil || done {
				return err
			}
		}
		return a.delete(ctx, mark)
	})
}

// drainOne waits until the last slot is free and removes it; done says that there is
// none. It asks about that slot only, and looks at all of them again when it could not
// remove it.
func (a *admin) drainOne(ctx context.Context) (done bool, err error) {
	for {
		found, err := a.link.Survey(ctx, a.ref.Name)
		if err != nil || found.Count == 0 {
			return true, err
		}
		if err := a.awaitFree(ctx, found.Count); err != nil {
			return false, err
		}
		if removed, err := a.removeFree(ctx, found.Count); err != nil || removed {
			return false, err
		}
	}
}

// awaitFree blocks until nobody holds the last slot, or it is not there.
func (a *admin) awaitFree(ctx context.Context, last int) error {
	held, slot := a.ref.Held(last), wire.SlotQueue(a.ref.Name, last)
	for polls := 0; ; polls++ {
		free, err := a.link.Missing(ctx, held)
		if err == nil && !free && polls%20 == 0 { // another administrator may have changed it
			free, err = a.link.Missing(ctx, slot)
		}
		if err != nil || free {
			return err
		}
		if polls == 0 {
			a.link.Broker.Debugf("waiting for the holder of slot %d", last)
		}
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// removeFree removes slot last if it can be taken and is still the last: another
// administrator may have added slots.
func (a *admin) removeFree(ctx context.Context, last int) (removed bool, err error) {
	held := a.ref.Held(last)
	err = a.claim(ctx, fmt.Sprintf("take slot %d", last), held)
	if isBusy(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = a.exclusively(ctx, func() error {
		found, err := a.link.Survey(ctx, a.ref.Name)
		if err != nil || found.Count != last {
			return err
		}
		removed = true
		return a.shrink(ctx, found, 1)
	})
	if err != nil {
		return false, err
	}
	if err := a.delete(ctx, held); err != nil || removed {
		return removed, err
	}
	waitq.WakeNext(ctx, a.link, a.ref.Name) // the slot was kept from others for a moment
	return false, nil
}
