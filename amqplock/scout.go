package amqplock

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// scouts is how a lock that is held asks a quorum queue: by the newest scout first.
type scouts struct{ atomic.Pointer[scout] }

// scout asks a quorum queue on the talk connection before the hold connection does.
//
// When the node that leads a quorum queue has died, RabbitMQ (3.10 to 4.3) answers basic.get with 541, INTERNAL_ERROR, at the nodes that are
// well too, and 541 ends the connection; it goes on for as long as a channel remembers the leader that is dead. That must not hit the connection
// that holds the lock. So the hold connection asks only what the talk connection has just been answered, and on a channel that is younger
// than the talk connection and remembers nothing.
//
// To ask on the talk connection alone would not do: it may have been opened to another node, by a load balancer for one, and what has to be with
// the majority is the node where the lock is held.
type scout struct {
	talk     *conn // nil: it is being opened
	lane     *lane
	made     time.Time     // or when the first was of those that came before and could not ask
	asked    atomic.Bool   // it could: the talk connection was not closed for another reason before
	patience time.Duration // with an answer, and with a talk connection that is not there
}

// sendScout lets a scout go ahead on talk from now on, or none until talk is open.
func (s *session) sendScout(talk *conn) {
	old := s.scouts.Load()
	if old != nil && old.talk == talk {
		return
	}
	next := &scout{talk: talk, made: time.Now(), patience: s.hold.Config.Heartbeat / 3}
	if old != nil && !old.asked.Load() {
		next.made = old.made
	}
	if talk != nil {
		next.lane = newLane(talk)
	}
	s.scouts.Store(next)
}

// errNoScout proves nothing: to ask might be fatal.
var errNoScout = errors.New("the talk connection is not open")

// ask returns nil when the hold connection may ask too: the answer was good, or the talk connection cannot tell, because the broker is in an
// alarm and does not read from it, or because it is gone and does not come back. Without a majority check the lease would run out over that.
func (s *scout) ask(ctx context.Context, queue string) error {
	switch {
	case s.talk == nil:
		return s.without(s.made)
	case s.talk.IsClosed() && !s.asked.Load():
		return s.without(s.made)
	case s.talk.IsClosed():
		<-s.talk.ended
		return s.without(s.talk.endedAt)
	case s.talk.blocked.Load():
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err := call(bounded, func() error { return s.lane.get(queue) })
	s.asked.Store(true)
	if bounded.Err() != nil && ctx.Err() == nil {
		s.talk.drop() // a new one may reach a node that answers
	}
	return err
}

// without is the answer of a scout that has no connection.
func (s *scout) without(since time.Time) error {
	if time.Since(since) > s.patience {
		return nil
	}
	return errNoScout
}

// get reads from a quorum queue, which is always empty, on lane l of the hold connection, after the scout. Who has nothing to lose on that
// connection sends none.
func (w *scouts) get(ctx context.Context, l *lane, queue string) error {
	s := w.Load()
	if s != nil {
		if err := s.ask(ctx, queue); err != nil {
			return err
		}
	}
	return call(ctx, func() error { return l.getAfter(s, queue) })
}
