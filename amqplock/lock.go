package amqplock

import (
	"context"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/internal/held"
)

// Lock is a lock that the broker has granted. It is checked until Release. Release has
// to be called, also after a loss. The methods may be called at the same time, except
// Release and Regain.
type Lock struct {
	holder *locker.Holder
	parent context.Context
	ctx    context.Context
	end    context.CancelCauseFunc
}

func newLock(parent context.Context, h *locker.Holder) *Lock {
	l := &Lock{holder: h, parent: parent}
	l.ctx, l.end = context.WithCancelCause(held.With(parent, h))
	h.OnLost(func(lost error) { l.end(exported(l.ctx, lost)) })
	return l
}

// Context ends when the lock is lost, with an *Error of kind ErrLost as its cause. It
// also ends when the lock has been released, and with the parent of WithContext. From a
// loss by silence the stop time is left until another may hold the lock. After an
// abrupt one (the connection was closed, the queue deleted) another may hold it
// already.
func (l *Lock) Context() context.Context { return l.ctx }

// Release gives the lock back; call it only when all work under the lock has ended. It
// checks once more, so that a loss which nobody noticed is found. Then, as when the lock
// was lost before, it returns that *Error of kind ErrLost; else nil. A connection that
// ends, or a broker that falls silent, only after the call is no loss. It ends all
// connections and goroutines of the lock. It takes no longer than ctx or
// Broker.ConnectTimeout, whichever ends first, and two seconds. It may be called again,
// and then returns the same.
func (l *Lock) Release(ctx context.Context) error {
	err := exported(ctx, l.holder.Release(ctx))
	l.end(nil)
	return err
}

// SetEnding says how the work has ended, for the history of a lock with WithHistory. The
// last call before Release counts.
func (l *Lock) SetEnding(e Ending) { l.holder.SetEnding(locker.Ending(e)) }

// Verify asks the broker now whether the lock is held and returns nil if so. Where the
// answer or the lease says that it is lost it returns that *Error of kind ErrLost and
// ends Context. It asks again while the answers prove nothing, and returns another error
// when ctx ends first.
func (l *Lock) Verify(ctx context.Context) error { return exported(ctx, l.holder.Verify(ctx)) }

// TTL is the time for which nobody else can get the lock if the broker has no more
// contact with us. It is 0 when that time is over. The checks renew it to nearly twice
// the heartbeat. All work must have ended by then. It says nothing about abrupt losses.
func (l *Lock) TTL() time.Duration {
	if l.holder.Context().Err() != nil {
		return 0
	}
	return l.holder.TTL()
}

// Slots are the numbers of the slots held, ascending, from 1; for a mutex the one number
// 0.
func (l *Lock) Slots() []int { return l.holder.Slots() }

// Token is the fencing token of a lock with WithFence; of others it is 0. It is larger
// than that of each earlier grant of this lock, whatever the slot. A resource can
// remember the largest token that it has seen, and refuse smaller ones. Then it is safe
// from a holder that was paused, and does not know that it has lost the lock. It is below
// 2^63 and no time, although it looks like Unix milliseconds.
// docs/explanation/history.md says exactly when it may not grow.
func (l *Lock) Token() int64 { return l.holder.Token() }

// Node is the one of Broker.Names that has granted the lock.
func (l *Lock) Node() string { return l.holder.Node() }

// String names the lock as messages do: `mutex "name"`, `slots 2 and 5 of semaphore
// "name"`.
func (l *Lock) String() string { return l.holder.String() }

// Ending is how the work under a lock has ended, for its history.
type Ending struct {
	Result string // a word; empty means ResultReleased
	Status *int   // exit status of the command, if it exited
	Signal string // that killed the command, such as SIGTERM
}
