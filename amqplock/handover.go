package amqplock

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

// talkDelay spares commands that end at once what only longer ones need: the second connection, with which a lock that others wait for is
// handed over, the tripwire, and the notice of removed slots.
const talkDelay = 200 * time.Millisecond

// rearmAfter is well within the half hour after which RabbitMQ closes the channel of a consumer that does not acknowledge.
const rearmAfter = 20 * time.Minute

// prepareHandOver makes the hand-over fast. Nothing of it is needed for it to be right, so a failure is only told.
func (l *Lock) prepareHandOver() {
	select {
	case <-time.After(talkDelay):
	case <-l.checking.Done():
		return
	}
	if l.session.cfg.Kind == Semaphore {
		l.background.Go(l.watchSlots)
	}
	if l.session.cfg.Elastic {
		l.talking.Go(l.grow)
	}
	again := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	for {
		pause, talkEnded := l.session.cfg.rearm, make(<-chan struct{})
		err := l.session.openTalk(l.checking)
		if err == nil {
			err = l.session.openScout(l.checking)
		}
		if err == nil {
			talkEnded = l.session.talk.ended
			_ = l.session.openProbes(l.checking) // for the hint to the next, which can do without
			err = call(l.checking, l.arm)
		} else {
			pause = again.NextBackOff()
		}
		if err != nil && l.checking.Err() == nil {
			l.session.cfg.Logf("a crash will be noticed late: %v", err)
		}
		select {
		case <-time.After(pause):
			continue
		case <-talkEnded:
		case <-l.checking.Done():
			return
		}
		select {
		case <-time.After(again.NextBackOff()):
		case <-l.checking.Done():
			return
		}
	}
}

// tripwire is a message that its holder keeps unacknowledged on the hold connection. When that dies the broker puts it back into its queue,
// where it expires at once, and by the queue's arguments expired messages go to the waiting line: the next waiter learns of a crash
// within milliseconds.
type tripwire struct {
	mu      sync.Mutex
	channel *amqp.Channel // nil until armed
	message *amqp.Delivery
}

// arm is called again before the broker loses its patience with the consumer. The message that arrives may be that of another who arms at
// the same time, which gets ours: so nobody waits for it.
func (l *Lock) arm() error {
	s, t := l.session, &l.tripwire
	t.mu.Lock()
	channel := t.channel
	t.mu.Unlock()
	if channel == nil || channel.IsClosed() {
		var err error
		if channel, err = s.hold.Channel(); err != nil {
			return err
		}
		if _, err = channel.QueueDeclare(tripQueue(s.cfg.Name), true, false, false, false, tripArgs(s.cfg.Name)); err != nil {
			return err
		}
		if err := channel.Qos(1, 0, false); err != nil {
			return err
		}
		messages, err := channel.Consume(tripQueue(s.cfg.Name), "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		l.background.Go(func() {
			for message := range messages {
				t.keep(&message)
			}
		})
		t.mu.Lock()
		t.channel = channel
		t.mu.Unlock()
	}
	t.disarm()
	return s.tell.do(func(ch *amqp.Channel) error {
		return ch.Publish("", tripQueue(s.cfg.Name), false, false, amqp.Publishing{})
	})
}

func (t *tripwire) keep(message *amqp.Delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.message = message
}

// disarm is for who leaves in peace.
func (t *tripwire) disarm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.message != nil {
		_ = t.message.Ack(false)
		t.message = nil
	}
}

// grow takes slots that come free, for an elastic set. It stands in line like everyone who wants one, over a talk connection of its own.
func (l *Lock) grow() {
	s := &session{cfg: l.session.cfg, hold: l.session.hold, looked: true, granted: true, scouts: l.session.scouts, why: errBusy}
	s.own, s.slot, s.quo = l.session.own, l.session.slot, l.session.quo
	s.cfg.OnWaiting = nil // the lock is held
	defer s.dropTalk()
	for l.checking.Err() == nil {
		err := s.wait(l.checking, func(ctx context.Context) error {
			_, _, err := s.takeSlots(ctx)
			return err
		})
		for _, slot := range s.held.list() {
			s.held.drop(slot)
			l.session.held.add(slot)
			l.changed("got slot %d too", slot)
		}
		if err == nil {
			_ = call(l.checking, func() error { s.passing.Wait(); return nil }) // our leaving the line, and the hint for the next in it
			if s.talk != nil {
				s.talk.farewell()
			}
		}
		s.dropTalk() // and the place in the line with it
		if err != nil {
			select {
			case <-time.After(lastRetry):
			case <-l.checking.Done():
			}
		}
	}
}
