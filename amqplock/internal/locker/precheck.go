package locker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// preCheck asks a quorum queue on the publish connection before the lock connection
// does.
//
// When the node that leads a quorum queue has died, RabbitMQ (3.10 to 4.3) answers
// basic.get with 541, INTERNAL_ERROR. Healthy nodes do too, and 541 ends the
// connection. It goes on for as long as a channel remembers the leader that is dead.
// That must not hit the lock connection. So the lock connection asks only what the
// publish connection has just been answered. It asks on a channel that is younger than
// the publish connection and remembers nothing.
//
// To ask on the publish connection alone would not do. A load balancer may have led it
// to another node. The node where the lock is held has to be with the majority.
type preCheck struct {
	publish *wire.Conn // nil: it is being opened
	ahead   map[*wire.RequestChannel]*wire.RequestChannel
	// opened is that of the publish connection or, without one, of this pre-check.
	opened time.Time
	// made is when this pre-check was made, or the first of those before that could not ask.
	made     time.Time
	asked    atomic.Bool   // it could: the publish connection was not closed before
	patience time.Duration // with an answer, and with a publish connection that is gone
	// silence is that of all publish connections of this lock.
	silence *silence
}

// silence is that of publish connections, one after another: each takes questions and
// gives no answer, as at a node that is cut off.
type silence struct{ begun atomic.Pointer[unanswered] }

// unanswered is a question that got no answer. Others may get theirs meanwhile: a node
// may be cut off from the leader of one queue alone.
type unanswered struct {
	queue string
	at    time.Time
}

// left is for how long a publish connection may be silent now. That is patience, and for
// two of them twice that. Then it is nothing for as long again, and the next one is asked
// anew.
func (s *silence) left(patience time.Duration) time.Duration {
	first := s.begun.Load()
	if first == nil {
		return patience
	}
	age := time.Since(first.at)
	if age >= 4*patience {
		s.begun.CompareAndSwap(first, nil)
		return patience
	}
	return min(patience, 2*patience-age)
}

// answered ends a silence over this queue.
func (s *silence) answered(queue string) {
	if first := s.begun.Load(); first != nil && first.queue == queue {
		s.begun.CompareAndSwap(first, nil)
	}
}

// errNoPreCheck proves nothing: to ask might be fatal.
var errNoPreCheck = errors.New("the publish connection is not open")

// ask returns no error when the lock connection may ask too. Either the answer was good,
// or the publish connection gives none, and answered is false. Then the broker is in an
// alarm and does not read from it, or it is gone and does not come back. Or two of them
// were silent. Without a majority check the lease would run out over that.
func (s *preCheck) ask(
	ctx context.Context, behind *wire.RequestChannel, queue string,
) (answered bool, err error) {
	left := s.silence.left(s.patience)
	switch {
	case left <= 0:
		return false, nil
	case s.publish == nil:
		return false, s.without(s.made)
	case s.publish.IsClosed() && !s.asked.Load():
		return false, s.without(s.made)
	case s.publish.IsClosed():
		s.publish.Abort() // after a failed write it may take the library long to see the end
		return false, s.without(s.publish.EndedAt)
	case s.publish.Blocked():
		return false, nil
	}
	asked := &unanswered{queue, time.Now()}
	bounded, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	if err = wire.AskAbsence(bounded, s.publish, queue); err == nil {
		err = wire.Call(bounded, func() error { return s.ahead[behind].Get(s.opened, queue) })
	}
	s.asked.Store(true)
	switch {
	case ctx.Err() != nil:
	case bounded.Err() != nil:
		s.silence.begun.CompareAndSwap(nil, asked)
		s.publish.Abort() // a new one may reach a node that answers
	case err == nil, wire.Code(err) != 0: // else it may be the end that Abort makes beside us
		s.silence.answered(queue)
	}
	return err == nil, err
}

// without is the answer of a preCheck that has no connection.
func (s *preCheck) without(since time.Time) error {
	if time.Since(since) > s.patience {
		return nil
	}
	return errNoPreCheck
}
