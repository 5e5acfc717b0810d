package amqplock

import (
	"context"
	"time"
)

// WithRegain is WithFence, and lets Lock.Regain take a lost lock again within that time.
// Others who acquire the lock with WithFence leave it alone for so long when they find it
// free, and the history has no end of its holder. So a holder that is killed keeps them
// waiting for that long. It excludes WithGreedy, and WithCount of more than one.
func WithRegain(within time.Duration) Option { return func(r *request) { r.Regain = within } }

// MayRegain reports whether a lock with WithRegain was lost, and Regain may take it again:
// its connection has ended, or the broker fell silent. After another loss (an eviction, a
// slot that was removed) it is false.
func (l *Lock) MayRegain() bool { return l.holder.MayRegain() }

// Regain takes a lost lock again, over new connections and ahead of the wait queue: the
// same slot, under the same token. All work under the lock must rest meanwhile. It returns
// a new Lock, whose Context derives from the same parent as that of l. l must not be used
// any more then, and need not be released.
//
// Regain fails if the history has a grant of the slot to another since ours, or is not
// there any more; if the slot was removed; and when the time of WithRegain or ctx is over.
// The error then matches ErrLost. l has to be released as always.
//
// It blocks for as long as WithRegain says, and two seconds more where the broker does not
// answer.
func (l *Lock) Regain(ctx context.Context) (*Lock, error) {
	next, err := l.holder.Regain(ctx)
	if err != nil {
		return nil, exported(ctx, err)
	}
	return newLock(l.parent, next), nil
}
