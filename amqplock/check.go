package amqplock

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

// check is one way to ask the broker whether the lock is still held.
type check struct {
	name  string
	lane  *lane
	ask   func(*lane) error
	judge func(error) verdict
}

// checks are all that must keep answering well: the own queue is still the own connection's, and, through a quorum queue, the node is with the
// majority of its cluster. A node that is cut off answers the first for many seconds while the other side grants the lock again.
//
// A publish would not do for the first: it is confirmed just as well when the queue has become somebody else's.
func (s *session) checks(queue string, slot int, ours bool) []check {
	list := []check{{
		name:  "the check of ownership",
		lane:  &s.own,
		ask:   func(l *lane) error { return l.look(queue) },
		judge: ownership,
	}}
	if s.cfg.Kind == Semaphore {
		list = append(list, check{
			name:  fmt.Sprintf("the check of slot %d", slot),
			lane:  &s.slot,
			ask:   func(l *lane) error { return l.get(slotQueue(s.cfg.Name, slot)) },
			judge: slotStands,
		})
	}
	if s.cfg.Kind == Mutex || !ours { // the original's slots are classic queues, which prove no majority
		list = append(list, check{
			name:  "the check for a majority of the cluster",
			lane:  &s.quo,
			ask:   askWitness,
			judge: majority,
		})
	}
	return list
}

// askWitness declares the witness where it is missing: the first lock of a virtual host does, or one after somebody removed it.
func askWitness(l *lane) error {
	err := l.get(witness)
	if !absent(err) {
		return err
	}
	if err := l.create(witness); err != nil {
		return err
	}
	return l.get(witness)
}

// claim tries to get one queue, and checks at once that the grant means something: a contender that was granted the lock in a minority
// stops here. The checks that do not need the grant run beside it. It returns errBusy when the queue is somebody else's.
func (s *session) claim(ctx context.Context, queue string, slot int, ours bool) (*Lock, error) {
	list := s.checks(queue, slot, ours)
	lease := newLease(s.hold.Config.Heartbeat, s.cfg.StopTime, list)
	sent := s.cfg.clock.Now()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	granted := true // or perhaps: only a refusal says that it was not
	beside, besideCtx := errgroup.WithContext(ctx)
	for i, c := range list[1:] {
		beside.Go(func() error { return s.confirm(besideCtx, lease, i+1, c, sent) })
	}
	beside.Go(func() error {
		if err := call(besideCtx, func() error { return s.own.claim(queue) }); err != nil {
			granted = code(err) == 0
			return s.notGranted(ctx, queue, err)
		}
		lease.prove(0, sent)
		return s.confirm(besideCtx, lease, 0, list[0], sent)
	})
	if err := beside.Wait(); err != nil {
		if granted {
			s.giveBack(ctx, queue)
		}
		return nil, err
	}
	return s.newLock(queue, slot, list, lease)
}

// confirm runs a check once. The errors are errBusy where the answer says that the lock is not ours.
func (s *session) confirm(ctx context.Context, l *lease, i int, c check, sent time.Duration) error {
	err := call(ctx, func() error { return c.ask(c.lane) })
	switch c.judge(err) {
	case held:
		l.prove(i, sent)
		return nil
	case lost:
		return errBusy
	}
	return refused(s.hold.broker, c.name+" of "+s.lockName(), err)
}

// notGranted explains why the exclusive declare failed. 405 is the answer also where the queue is not exclusive at all: then it is no lock
// but somebody's work queue, and waiting would be for ever.
func (s *session) notGranted(ctx context.Context, queue string, err error) error {
	if code(err) != amqp.ResourceLocked {
		return refused(s.hold.broker, "claim "+s.lockName(), err)
	}
	if !s.looked {
		if err := call(ctx, func() error { return s.own.look(queue) }); err == nil {
			return notALock(queue, s.hold.broker)
		}
		s.looked = true
	}
	return errBusy
}

// giveBack undoes a claim whose checks failed. Where the broker does not answer the caller drops the connection, which does it too.
func (s *session) giveBack(ctx context.Context, queue string) {
	if err := call(ctx, func() error { return s.own.remove(queue) }); err != nil {
		s.hold.drop()
	}
}
