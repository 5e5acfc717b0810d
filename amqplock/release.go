package amqplock

import (
	"context"
	"errors"
	"time"
)

// Release gives the lock back; call it only when all work under the lock has ended. It checks once more, so that a loss which nobody
// noticed is told: then, as when the lock was lost before, it returns that *LostError. It ends all connections and goroutines of the lock, takes no
// longer than ctx or Broker.ConnectTimeout, whichever ends first, and two seconds, and may be called again.
func (l *Lock) Release(ctx context.Context) error {
	l.released.Do(func() { l.releaseErr = l.release(ctx) })
	return l.releaseErr
}

func (l *Lock) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.session.cfg.ConnectTimeout)
	defer cancel()
	l.stopChecking()
	l.alarm.Stop()
	l.expire() // what the alarm has not told yet
	l.talking.Wait()
	err := context.Cause(l.ctx)
	if err == nil {
		err = l.handBack(ctx)
	}
	if l.session.cfg.Elastic { // perhaps it was claiming one more slot: see giveBack
		l.session.farewell()
	}
	l.session.drop() // ends the calls that hang, and with them the background
	l.background.Wait()
	l.lose(nil)
	return err
}

// handBack looks once more whether the lock is held, deletes its queues and tells the next waiter. The deletion is awaited before anything
// else: since RabbitMQ 4.2 the end of a connection alone frees its queues some time later.
func (l *Lock) handBack(ctx context.Context) error {
	s, begun := l.session, time.Now()
	if s.hold.IsClosed() {
		l.connectionEnded()
		return context.Cause(l.ctx)
	}
	l.tripwire.disarm()
	s.scouts.Store(nil) // the work has ended: no answer can do harm
	line := ""
	if s.talk == nil { // then it costs something to wake the line: see first whether somebody stands in it
		line = lineQueue(s.cfg.Name)
	}
	waited, err := l.delete(ctx, line)
	switch {
	case context.Cause(l.ctx) != nil:
		return context.Cause(l.ctx)
	case err != nil:
		s.cfg.Logf("could not delete the queue of %s, the end of the connection frees it: %v", l, err)
		return nil
	}
	s.cfg.Logf("released %s in %s", l, took(begun))
	if (s.talk != nil || waited) && s.wakeNext(ctx) {
		stepAside(ctx)
	}
	defer s.farewell()
	for i, c := range l.checks {
		if i == 0 || !c.each { // the deletion has asked for ownership, and a majority is of no interest to one who is done
			continue
		}
		var lost *LostError
		if errors.As(l.check(ctx, i, c), &lost) {
			return lost
		}
	}
	return nil
}

// aside is how long a releaser leaves the broker, and the processors, to the next in the line: about as long as it takes to claim the lock and start a
// command. The end of two connections, and of what they have declared, would make that half as long again.
const aside = 5 * time.Millisecond

func stepAside(ctx context.Context) {
	select {
	case <-time.After(aside):
	case <-ctx.Done():
	}
}

// delete deletes the queues, if all of them are ours; otherwise it ends Context, unless the set is elastic and others are left. It tells
// whether somebody stands in line.
func (l *Lock) delete(ctx context.Context, line string) (waited bool, err error) {
	s := l.session
	for {
		var queues []string
		for _, slot := range l.Slots() {
			queues = append(queues, s.queue(slot))
		}
		err := call(ctx, func() error { return s.own.handBack(queues, line) })
		switch {
		case err != nil && line != "" && concerns(err, line): // which comes last: what came before has been done
			return true, nil
		case err != nil && (code(err) == 0 || s.hold.IsClosed()): // perhaps before the work had ended
			select {
			case <-s.hold.ended:
				l.connectionEnded()
			case <-ctx.Done():
			}
			return false, err
		case ownership(err) != lost:
			return false, err
		}
		if l.check(ctx, 0, l.checks[0]) != nil || len(l.Slots()) == len(queues) {
			return false, err
		}
	}
}
