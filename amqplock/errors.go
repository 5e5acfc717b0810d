package amqplock

import (
	"context"
	"errors"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

// The kinds of failure, for errors.Is. Every error of this package is an *Error with one
// of them.
var (
	// ErrConfig: an argument or the configuration cannot work. Nothing was contacted.
	ErrConfig = fault.ErrConfig
	// ErrUnreachable: no connection, no answer in time, or the broker turned us away or
	// failed.
	ErrUnreachable = fault.ErrUnreachable
	// ErrAccess: the broker refused the login, or a permission is missing.
	ErrAccess = fault.ErrAccess
	// ErrNotFound: there is no such virtual host, semaphore or holder.
	ErrNotFound = fault.ErrNotFound
	// ErrNotALock: a queue of that name exists and is somebody's work queue.
	ErrNotALock = fault.ErrNotALock
	// ErrNotAcquired: others hold the lock, and the caller did not want to wait, or not
	// longer.
	ErrNotAcquired = fault.ErrNotAcquired
	// ErrLost: the lock was granted, and the broker no longer vouches for it.
	ErrLost = fault.ErrLost
	// ErrTiming: a check and a stop do not fit into the heartbeat that the broker insists
	// on.
	ErrTiming = fault.ErrTiming
	// ErrCanceled: ctx ended before a call other than Acquire, TryAcquire and Do was
	// done.
	ErrCanceled = fault.ErrCanceled
	// ErrInternal: something on this machine failed, such as the creation of a timer.
	ErrInternal = fault.ErrInternal
)

// Error is a failure, with a text for a person and a kind for a program. No field ever
// holds a password.
type Error struct {
	Kind error  // one of the Err values
	Text string // what failed on which lock and broker, and why
	Hint string // what to do about it; empty where that is not known
	// Err is the cause, for errors.Is and errors.As; Text says it already. Where the end
	// of ctx was the cause it is context.Cause(ctx). It may be nil.
	Err error

	// Of ErrLost only:

	Lock   string // what was lost: `mutex "name"`, `slot 3 of semaphore "name"`
	Broker string // the node that had granted it, without credentials

	Reason string        // which check failed and how, or by whom the holder was evicted
	Age    time.Duration // since the last proof that the lock was held
}

// Error returns Text.
func (e *Error) Error() string { return e.Text }

// Unwrap makes errors.Is match the kind and the cause.
func (e *Error) Unwrap() []error { return (*fault.Error)(e).Unwrap() }

// exported makes an *Error of what the packages below return. ctx is that of the call.
func exported(ctx context.Context, err error) error {
	var known *fault.Error
	cause := context.Cause(ctx)
	canceled := cause != nil && !errors.Is(cause, context.DeadlineExceeded) && errors.Is(err, cause)
	switch {
	case err == nil:
		return nil
	case canceled && !errors.Is(err, ErrNotAcquired) && !errors.Is(err, ErrLost):
		return &Error{Kind: ErrCanceled, Text: err.Error(), Err: cause}
	case errors.As(err, &known):
		return (*Error)(known)
	case cause != nil:
		return &Error{Kind: ErrCanceled, Text: err.Error(), Err: cause}
	}
	return &Error{Kind: ErrInternal, Text: err.Error(), Err: err}
}
