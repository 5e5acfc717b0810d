package amqplock

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
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
	talk     *conn           // nil: it is being opened
	ahead    map[*lane]*lane // of the talk connection; by those of the hold connection that it goes ahead of
	opened   time.Time       // or, without talk, made
	made     time.Time       // or when the first was of those that came before and could not ask
	asked    atomic.Bool     // it could: the talk connection was not closed for another reason before
	patience time.Duration   // with an answer, and with a talk connection that is not there
}

// openScout lets a scout go ahead on the talk connection from now on. All channels are open by then: else the first question would take several times
// as long as an answer.
func (s *session) openScout(ctx context.Context) error {
	if old := s.scouts.Load(); old != nil && old.talk == s.talk {
		return nil
	}
	next := s.newScout(s.talk)
	var opening errgroup.Group
	for behind, ahead := range next.ahead {
		for _, l := range []*lane{behind, ahead} {
			opening.Go(func() error { return s.timed(ctx, "open a channel", func() error { return l.openSince(next.opened) }) })
		}
	}
	if err := opening.Wait(); err != nil {
		s.dropTalk()
		return err
	}
	s.scouts.Store(next)
	return nil
}

// newScout makes a scout for talk, or one that stands for none until talk is open (nil). The lease outlasts the patience with a talk connection that
// has fallen silent, the one until the hold connection asks without it, and then its answer.
func (s *session) newScout(talk *conn) *scout {
	now := time.Now()
	next := &scout{talk: talk, opened: now, made: now, patience: s.hold.Config.Heartbeat * 2 / 5}
	if old := s.scouts.Load(); old != nil && !old.asked.Load() {
		next.made = old.made
	}
	if talk != nil {
		next.ahead = map[*lane]*lane{s.quo: newLane(talk)}
	}
	if talk != nil && s.cfg.Kind == Semaphore {
		next.ahead[s.slot] = newLane(talk)
	}
	return next
}

// errNoScout proves nothing: to ask might be fatal.
var errNoScout = errors.New("the talk connection is not open")

// ask returns nil when the hold connection may ask too: the answer was good, or the talk connection cannot tell, because the broker is in an
// alarm and does not read from it, or because it is gone and does not come back. Without a majority check the lease would run out over that.
func (s *scout) ask(ctx context.Context, l *lane, queue string) error {
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
	err := call(bounded, func() error { return s.ahead[l].get(s.opened, queue) })
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
	since := time.Time{}
	if s := w.Load(); s != nil {
		if err := s.ask(ctx, l, queue); err != nil {
			return err
		}
		since = s.opened
	}
	return call(ctx, func() error { return l.get(since, queue) })
}
