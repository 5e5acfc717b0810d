package locker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// maxRounds bounds how often in a row others may be faster before we stand in the wait
// queue.
const maxRounds = 20

// attempt claims a lock over one link, as often as it is tried.
type attempt struct {
	*claims

	newcomer bool         // The next try is the first of one that may wait.
	first    bool         // In the wait queue, and may keep a part.
	avoided  map[int]bool // Slots that are reserved for others.

	// The newest try has found this out.

	busy error // Why the lock was taken; nil before.
	half bool  // Another connection was just making the witness.
	size int   // How many slots there are, 0 where they were not counted.
}

func newAttempt(cfg Config, link *wire.Link) *attempt {
	return &attempt{claims: &claims{
		cfg: cfg, link: link, checker: newChecker(cfg.Ref, link), held: &collection{},
		// The search has just seen the queue of a slot missing. So what refuses the claim now
		// is a lock, and no work queue.
		looked: cfg.Kind == wire.Semaphore,
	}}
}

// try makes one attempt; first says that we are first in the wait queue. The error
// matches fault.ErrBusy when others hold the lock.
func (a *attempt) try(ctx context.Context, first bool) (err error) {
	a.first = first
	take := a.takeSlots
	switch {
	case a.cfg.Kind == wire.Mutex:
		take = a.takeMutex
	case a.cfg.Count == All:
		take = a.takeAll
	}
	err = take(ctx)
	if errors.Is(err, fault.ErrAccess) && a.cfg.Kind == wire.Semaphore && !a.ours &&
		a.awaitCreation(ctx) {
		err = take(ctx)
	}
	if err != nil && !a.first && ctx.Err() == nil { // else abandon does it
		a.putBack(ctx)
	}
	a.newcomer = false
	if err == nil && a.isOld() { // the answers took that long, or the machine was suspended
		err = a.proveAgain(ctx)
	}
	reason := err
	if err != nil && !isBusy(err) && a.link.Lock.IsClosed() { // of two requests one got the answer
		<-a.link.Lock.Ended
		if why := a.link.Lock.Why; why != nil {
			reason = why
		}
	}
	a.half = noProcess(reason) && a.usesWitness()
	switch {
	case a.half: // says nothing about the lock
	case noProcess(reason):
		err = &fault.Error{Kind: fault.ErrBusy, Text: "a slot is just being removed", Err: reason}
	case wire.Code(reason) == amqp.InternalError && a.fragile():
		err = &fault.Error{
			Kind: fault.ErrBusy, Err: reason,
			Text: "others hold it, or a permission is missing: the broker fails to say which",
		}
	}
	if isBusy(err) {
		a.busy = err
	}
	return err
}

// usesWitness reports whether the slots are no quorum queues, which prove a majority.
func (a *attempt) usesWitness() bool { return a.cfg.Kind == wire.Mutex || !a.ours }

// noProcess recognises the answer to a basic.get from a quorum queue that has no process
// yet or any more: 541, noproc or {shutdown,delete}. RabbitMQ closes the connection with
// it. All versions answer so while a queue is being made, and 4.3 also while one is being
// deleted.
func noProcess(err error) bool {
	var reply *amqp.Error
	if !errors.As(err, &reply) || reply == nil || reply.Code != amqp.InternalError {
		return false
	}
	reason := strings.Join(strings.Fields(reply.Reason), "") // it prints a term over lines
	return strings.Contains(reason, "noproc") || strings.Contains(reason, "{shutdown,delete}")
}

// fragile reports whether the broker may fail where it means that others hold the lock.
func (a *attempt) fragile() bool {
	return wire.Fragile(a.link.Lock.Config.Vhost, a.cfg.Held(wire.MaxSlots))
}

func (a *attempt) takeMutex(ctx context.Context) error {
	if seenHeld(ctx, a.link, a.cfg.Name) {
		return fault.ErrBusy
	}
	return a.claim(ctx, 0)
}

// takeSlots collects the slots that the configuration asks for: Count, all or none, or
// with Greedy all that are free.
//
// An attempt that gets some of several and waits for the rest could wait for another that
// does the same, for ever. So only the first in the wait queue keeps a part, of whom
// there is one; everybody else gives all back.
func (a *attempt) takeSlots(ctx context.Context) error {
	want := a.cfg.Count
	if a.cfg.Greedy {
		want = wire.MaxSlots
	}
	a.payBack(ctx)
	for round := 1; ; round++ {
		found, err := a.find(ctx, want)
		if err != nil {
			return err
		}
		a.ours, a.size = found.Ours, 0
		if found.Exact {
			a.size = found.Count
			a.dropRemoved(ctx, found.Count)
		}
		if found.Exact && found.Count < want && !a.cfg.Greedy && found.Count > 0 {
			a.putBack(ctx) // others can use them
			return &fault.Error{Kind: fault.ErrTooFew, Text: fmt.Sprintf(
				"there are %d slots, %d are wanted", found.Count, want)}
		}
		var collided bool
		free := len(found.Free) + len(a.held.list()) // none that another holds
		if a.first || a.cfg.Greedy || free >= want {
			if collided, err = a.claimFree(ctx, found, want); err != nil {
				return err
			}
		}
		got := len(a.held.list())
		if got >= want || a.cfg.Greedy && got > 0 {
			if got > 1 || a.held.list()[0] != a.last { // the others are older than sent
				err = a.prove(ctx)
			}
			return err
		}
		if collided && round < maxRounds { // somebody was faster: look again, what we know is old
			continue
		}
		switch {
		case found.Count == 0:
			return errPaused
		case want > 1 && !a.cfg.Greedy:
			return &fault.Error{Kind: fault.ErrBusy, Text: fmt.Sprintf(
				"%d of the %d slots were free, %d are wanted", free, found.Count, want)}
		}
		return fault.ErrBusy
	}
}

// A set of all slots shall be alone, so nobody may add one while it is held. The holder
// has the exclusive queue NAME-B-0, of the slot 0 that nobody holds, beside its slots. An
// administrator that adds slots has it meanwhile.

// takeAll takes all slots of the semaphore. Those that are being drained are nobody's to
// take, so it waits for the end of the drain. As with takeSlots only the first in the
// wait queue keeps a part.
func (a *attempt) takeAll(ctx context.Context) error {
	for round := 1; ; round++ {
		found, err := a.survey(ctx)
		if err != nil {
			return err
		}
		a.ours, a.size = found.Ours, found.Count
		a.dropRemoved(ctx, found.Left)
		switch {
		case found.Left == 0:
			return errPaused
		case found.Left < found.Count:
			return &fault.Error{Kind: fault.ErrBusy, Text: "slots are being drained, all are wanted"}
		}
		free := len(found.Free) + len(a.held.list())
		if a.first || free >= found.Count {
			if _, err := a.claimFree(ctx, found, found.Count); err != nil {
				return err
			}
		}
		if len(a.held.list()) < found.Count {
			return &fault.Error{Kind: fault.ErrBusy, Text: fmt.Sprintf(
				"%d of the %d slots were free, all are wanted", free, found.Count)}
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
		return false, notGranted(ctx, a.link, a.cfg.Ref, queue, err, new(bool))
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

// find looks for the slots that are still wanted, and creates the semaphore where that
// is asked for. An own slot that is missing was lost. An attempt forgets it, and may
// claim it like any other. That of a set is for the checks to find, and nothing to take
// here.
func (a *attempt) find(ctx context.Context, want int) (wire.Slots, error) {
	most := wire.MaxSlots + wire.Overshoot
	if a.newcomer && !a.cfg.Greedy {
		most = wire.Glance
	}
	if a.busy == nil && a.set == nil {
		a.openChannels()
	}
	begun := time.Now()
	found, err := a.link.Find(ctx, a.cfg.Name, want-len(a.held.list()), most)
	if err == nil && a.busy == nil { // a waiter's tries would be too many to log
		a.cfg.Debugf("looked for slots of %s in %s: %d held, %d free among those seen",
			a.cfg.Ref, wire.Took(begun), found.Held, len(found.Free))
	}
	if err == nil && !found.Known {
		found, err = a.create(ctx, want)
	}
	a.forget(ctx, found.Free)
	if a.set != nil {
		found.Free = slices.DeleteFunc(found.Free, a.set.concerns)
	}
	found.Free = slices.DeleteFunc(found.Free, func(slot int) bool { return a.avoided[slot] })
	return found, err
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
	a.forget(ctx, found.Free)
	return found, err
}

// forget drops the own slots among those that are free. The node of the publish
// connection may only not see them: without the deletion they would stay ours.
func (a *attempt) forget(ctx context.Context, free []int) {
	for _, slot := range free {
		if a.held.drop(slot) {
			a.giveBack(ctx, slot)
		}
	}
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

// openChannels opens what a claim needs while the broker looks for free slots: a
// twentieth of the time that `true` takes under a free slot.
func (a *attempt) openChannels() {
	for _, channel := range []*wire.RequestChannel{a.link.Requests, a.checker.slots[0]} {
		go func() { _ = channel.Open() }() // ends with the lock connection at the latest
	}
}

// create makes the semaphore that was not found, with Config.Slots slots.
func (a *attempt) create(ctx context.Context, want int) (wire.Slots, error) {
	if a.cfg.Slots == 0 {
		return wire.Slots{}, NoSemaphore(a.cfg.Name, a.link.Lock.Broker)
	}
	maker := &admin{ref: a.cfg.Ref, link: a.link}
	err := maker.create(ctx, a.cfg.Slots)
	if errors.Is(err, context.DeadlineExceeded) && a.set == nil {
		// The administration mutex is ours, or will be when the broker answers, and nobody
		// would give it back.
		a.link.Close()
		return wire.Slots{}, err
	}
	found, findErr := a.link.Find(ctx, a.cfg.Name, want, wire.MaxSlots+wire.Overshoot)
	switch {
	case findErr == nil && found.Known: // else it was another that kept us from it and has done it
		return found, nil
	case errors.Is(err, fault.ErrNotAcquired):
		return found, &fault.Error{Kind: fault.ErrBusy, Err: err,
			Text: "it is just being made, or a mutex of its name is held"}
	case err == nil:
		err = findErr
	}
	return found, err
}

// awaitCreation is for one that may not ask the witness about slots without slot 0. They
// may be no slots of the original's: a creation makes slot 0 last, under the mutex of the
// name. Where nobody is at work, and we may, we finish an interrupted one. It reports
// whether slot 0 is there by now.
func (a *attempt) awaitCreation(ctx context.Context) bool {
	mutex := wire.Ref{Kind: wire.Mutex, Name: a.cfg.Name}
	pace := wire.Pace(20*time.Millisecond, 500*time.Millisecond)
	for begun := time.Now(); ; {
		making, _ := isHeld(ctx, a.link, mutex, byPublishing(ctx, a.link, mutex))
		missing, err := a.link.Missing(ctx, wire.SlotQueue(a.cfg.Name, 0))
		switch {
		case err != nil || !missing:
			return err == nil
		case !making:
			found, err := a.create(ctx, 1)
			return err == nil && found.Ours
		case time.Since(begun) > adminPatience, wire.Pause(ctx, pace.NextBackOff()) != nil:
			return false
		}
	}
}

// claimFree claims free slots until want are held, those that are preferred first, and
// others in random order. It reports whether others were faster somewhere.
func (a *attempt) claimFree(
	ctx context.Context, found wire.Slots, want int,
) (collided bool, err error) {
	free := found.Free
	rand.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	slices.SortStableFunc(free, func(i, j int) int { // the index of the others is -1
		return cmp.Compare(slices.Index(a.cfg.Prefer, j), slices.Index(a.cfg.Prefer, i))
	})
	for _, slot := range free {
		if len(a.held.list()) >= want {
			break
		}
		err := a.claim(ctx, slot)
		var gone *goneError
		switch {
		case err == nil:
		case errors.As(err, &gone): // a hole, which find does not see
		case isBusy(err):
			collided = true
		default:
			return false, err
		}
		if collided && !a.cfg.Greedy {
			break
		}
	}
	return collided, nil
}
