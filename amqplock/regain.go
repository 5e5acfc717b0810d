package amqplock

import (
	"context"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
)

// WithRegain is WithFence, and lets Lock.Regain take a lost lock again within that time.
// Others with WithFence leave such a lock alone for so long, if they find it free and
// the history has no end of its holder. So a holder that is killed keeps them waiting
// for that long. WithRegain excludes WithGreedy, and WithCount of more than one. The
// time is more than 0 and at most MaxRegain; anything else is an error of kind ErrConfig.
func WithRegain(within time.Duration) Option {
	return func(r *request) { r.Regain = given(within) }
}

// MaxRegain, an hour, bounds WithRegain, because others leave the lock alone for so long.
const MaxRegain = locker.MaxRegain

// MayRegain reports whether a lock with WithRegain was lost, and Regain may take it
// again. That is so if its connection has ended, or the broker fell silent. After an
// eviction, or the removal of a slot, it is false.
func (l *Lock) MayRegain() bool { return l.holder.MayRegain() }

// Regain takes a lost lock again, over new connections and ahead of the wait queue. Slot
// and token are the same. All work under the lock must rest meanwhile. Regain returns a
// new Lock, whose Context derives from the same parent. The old one must not be used any
// more then, and need not be released.
//
// Regain fails with ErrLost if the history has a grant of the slot to another since ours,
// or is gone. It fails if the slot was removed, and when the time of WithRegain or ctx is
// over. The old Lock has to be released then, as always. For a lock that was not lost
// the error is of kind ErrConfig.
//
// It blocks for as long as WithRegain says, and two seconds more where the broker does
// not answer. Before it has returned, neither Release nor a second Regain may be called:
// only its result says which Lock has to be released. The end of ctx ends it.
func (l *Lock) Regain(ctx context.Context) (*Lock, error) {
	next, err := l.holder.Regain(ctx)
	if err != nil {
		return nil, exported(ctx, err)
	}
	return newLock(l.parent, next), nil
}
