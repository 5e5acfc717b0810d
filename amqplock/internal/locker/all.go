package locker

import (
	"context"
	"errors"
	"fmt"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// All is a Config.Count: all slots that there are at the grant.
const All = -1

// A set of all slots shall be alone, so nobody may add one while it is held. The holder
// has the exclusive queue NAME-B-0, of the slot 0 that nobody holds, beside its slots. An
// administrator that adds slots has it meanwhile.

// takeAll takes all slots of the semaphore, also those that are being drained. As with
// takeSlots only the first in the wait queue keeps a part.
func (a *attempt) takeAll(ctx context.Context) (err error) {
	defer func() {
		if err != nil && !a.first && ctx.Err() == nil { // else abandon does it
			a.putBack(ctx)
		}
	}()
	for round := 1; ; round++ {
		found, err := a.survey(ctx)
		if err != nil {
			return err
		}
		a.ours, a.size = found.Ours, found.Count
		a.dropRemoved(ctx, found.Count)
		if found.Count == 0 {
			return errPaused
		}
		if a.first || len(found.Free)+len(a.held.list()) >= found.Count {
			if _, err := a.claimFree(ctx, found, found.Count); err != nil {
				return err
			}
		}
		got := len(a.held.list())
		if got < found.Count {
			return &fault.Error{Kind: fault.ErrBusy, Text: fmt.Sprintf(
				"%d of the %d slots were free, all are wanted", got+len(found.Free), found.Count)}
		}
		again, err := a.keepAlone(ctx, found.Count)
		if err != nil || !again {
			return err
		}
		if round == maxRounds {
			return &fault.Error{Kind: fault.ErrBusy, Text: "slots are being added"}
		}
	}
}

// survey looks at all slots, and creates the semaphore where that is asked for. An own
// slot that is missing was lost, see attempt.find.
func (a *attempt) survey(ctx context.Context) (wire.Slots, error) {
	found, err := a.link.Survey(ctx, a.cfg.Name)
	if err == nil && !found.Known {
		if found, err = a.create(ctx, wire.MaxSlots); err == nil {
			found, err = a.link.Survey(ctx, a.cfg.Name)
		}
	}
	for _, slot := range found.Free {
		a.held.drop(slot)
	}
	return found, err
}

// dropRemoved gives back the slots beyond count, which do not exist any more.
func (a *attempt) dropRemoved(ctx context.Context, count int) {
	for _, slot := range a.held.list() {
		if slot > count {
			a.held.drop(slot)
			a.giveBack(ctx, slot)
		}
	}
}

// keepAlone keeps others from adding slots to the count that are held, and proves these;
// again says that there are more by now.
func (a *attempt) keepAlone(ctx context.Context, count int) (again bool, err error) {
	claimCtx, cancel := context.WithTimeout(ctx, a.cfg.ConnectTimeout)
	defer cancel()
	queue := a.cfg.Held(0)
	err = wire.Call(claimCtx, func() error { return a.link.Requests.Claim(queue) })
	if err != nil {
		if wire.Code(err) == 0 { // perhaps it is granted, and would keep others from adding
			a.giveBack(ctx, 0)
		}
		return false, notGranted(ctx, a.link, a.cfg.Ref, queue, err, &a.looked)
	}
	_, more, err := a.link.Compare(ctx, a.cfg.Name, count)
	if err == nil && !more {
		a.alone = true
		if err = a.prove(ctx); err == nil {
			return false, nil
		}
		a.alone = false
	}
	a.giveBack(ctx, 0)
	return more, err
}

// checks are those of the checker. One that is alone has to own NAME-B-0 too.
func (a *attempt) checks() []check {
	list := a.checker.checks(a.ours)
	if a.alone {
		list[0].also = []int{0}
	}
	return list
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
				shellWord(a.ref.Name)),
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
