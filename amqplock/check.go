package amqplock

import (
	"context"
	"fmt"
)

// check is one way to ask the broker whether a lock is still held.
type check struct {
	name  string
	ask   func(ctx context.Context, slot int) error
	judge func(error) verdict
	each  bool // to be asked for each slot held; else once for all
}

// checks are all that must keep answering well: the own queue is still the own connection's, and, through a quorum queue, the node is with
// the majority of its cluster. A node that is cut off answers the first for many seconds while the other side grants the lock again.
//
// A publish would not do for the first: it is confirmed just as well when the queue has become somebody else's.
func (s *session) checks(ours bool) []check {
	list := []check{{
		name: "ownership check",
		ask: func(ctx context.Context, slot int) error {
			return call(ctx, func() error { return s.own.look(s.queue(slot)) })
		},
		judge: ownership,
		each:  true,
	}}
	if s.cfg.Kind == Semaphore {
		list = append(list, check{
			name: "slot check",
			ask: func(ctx context.Context, slot int) error {
				return s.scouts.get(ctx, s.slot, slotQueue(s.cfg.Name, slot))
			},
			judge: slotStands,
			each:  true,
		})
	}
	if s.cfg.Kind == Mutex || !ours { // the original's slots are classic queues, which prove no majority
		list = append(list, check{
			name:  "majority check",
			ask:   func(ctx context.Context, _ int) error { return s.askWitness(ctx) },
			judge: majority,
		})
	}
	return list
}

// queue is the exclusive queue of a slot, or of the mutex, slot 0.
func (s *session) queue(slot int) string {
	if s.cfg.Kind == Mutex {
		return s.cfg.Name
	}
	return heldQueue(s.cfg.Name, slot)
}

// askWitness declares the witness where it is missing: the first lock of a virtual host does, or one after somebody removed it.
func (s *session) askWitness(ctx context.Context) error {
	err := s.scouts.get(ctx, s.quo, witness)
	if !absent(err) {
		return err
	}
	if err := call(ctx, func() error { return s.quo.create(witness) }); err != nil {
		return err
	}
	return s.scouts.get(ctx, s.quo, witness)
}

// goneError says that a slot is not ours any more, or was not even granted for good.
type goneError struct {
	slot  int
	check string
	err   error
}

func (e *goneError) Error() string        { return fmt.Sprintf("the %s failed: %s", e.check, oneLine(e.err)) }
func (e *goneError) Unwrap() error        { return e.err }
func (e *goneError) Is(target error) bool { return target == errBusy }

// run asks about all slots and returns nil if all are held, a *goneError for the first that is not, or what the broker said that proves nothing.
func (c check) run(ctx context.Context, slots []int) error {
	if !c.each {
		slots = slots[:min(1, len(slots))]
	}
	for _, slot := range slots {
		err := c.ask(ctx, slot)
		switch c.judge(err) {
		case held:
		case lost:
			return &goneError{slot: slot, check: c.name, err: err}
		default:
			return err
		}
	}
	return nil
}
