// Package held has what amqprun's own wrapper needs of a lock beyond amqplock's public
// API. That is instants on the clock of sys.Boottime, the socket, and a choice of slots.
package held

import (
	"context"
	"syscall"
	"time"
)

// Lease is how long a lock is safe to rely on.
type Lease interface {
	// Until is the instant, on the clock of sys.Boottime, before which all work under the
	// lock must have ended unless the lease is renewed.
	Until() time.Duration
	// StopAt is when the lock's context ends then: the stop time before Until.
	StopAt() time.Duration
	// OnRenew has f called with both, at once and each time that they have grown by a
	// hundredth of the heartbeat. The calls do not overlap, and none has an earlier
	// instant than the one before. f must not block. A second call replaces f.
	OnRenew(f func(stopAt, until time.Duration))
	// CutOff reports whether the lock was lost for no reason of its own: its connection has
	// ended, or the broker fell silent.
	CutOff() bool
	// Socket is the socket of the lock connection. As long as any process has it open, and
	// for less than the lease, the lock stays. It is nil where amqplock.Broker.Dial made
	// something that is no socket.
	Socket() syscall.Conn
}

// PauseTime is how long before the end of the lease a command is paused, at least.
const PauseTime = time.Second

type key struct{}

// With returns a context of a lock with that lease.
func With(ctx context.Context, l Lease) context.Context { return context.WithValue(ctx, key{}, l) }

// Of returns the lease of the lock that ctx is the context of, or derives from; nil for
// others.
func Of(ctx context.Context) Lease {
	l, _ := ctx.Value(key{}).(Lease)
	return l
}

type preferred struct{}

// Prefer returns a context with which Client.Acquire takes these slots, where they are
// free.
func Prefer(ctx context.Context, slots []int) context.Context {
	return context.WithValue(ctx, preferred{}, slots)
}

// Preferred are the slots of Prefer, nil without it.
func Preferred(ctx context.Context) []int {
	slots, _ := ctx.Value(preferred{}).([]int)
	return slots
}
