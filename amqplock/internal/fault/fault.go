// Package fault has the errors of amqplock. They are here and not in the public package,
// so that every package below it can make one; amqplock.Error is the same structure.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// The kinds of failure. amqplock documents them.
var (
	ErrConfig      = errors.New("bad configuration")
	ErrUnreachable = errors.New("broker unreachable")
	ErrAccess      = errors.New("permission refused")
	ErrNotFound    = errors.New("not found")

	ErrNotALock    = errors.New("not a lock")
	ErrNotAcquired = errors.New("lock not acquired")
	ErrLost        = errors.New("lock lost")
	ErrTiming      = errors.New("timings cannot work out")
	ErrCanceled    = errors.New("ended by the caller")
	ErrInternal    = errors.New("internal error")
)

// ErrBusy says that others hold the lock. It does not leave amqplock.
var ErrBusy = errors.New("it is held by others")

// ErrTooFew is an ErrBusy for a contender that wants more slots than there are.
var ErrTooFew = fmt.Errorf("more are wanted than there are: %w", ErrBusy)

// Error has the fields of amqplock.Error, which documents them, in the same order.
type Error struct {
	Kind error
	Text string
	Hint string
	Err  error

	Lock   string
	Broker string
	Reason string
	Age    time.Duration
}

func (e *Error) Error() string { return e.Text }

// Unwrap makes errors.Is match the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Lost is the error of a lock that was lost. The lock is as messages name it, and age is
// how old the last proof was that it was held.
func Lost(lock, broker string, reason error, age time.Duration) *Error {
	return &Error{
		Kind: ErrLost,
		Text: fmt.Sprintf("lost %s on %s: %v (last proven held %s before)",
			lock, broker, reason, age.Round(time.Millisecond)),
		Lock: lock, Broker: broker, Reason: reason.Error(), Age: age,
	}
}

// Config is the error of a configuration that cannot work.
func Config(format string, args ...any) *Error {
	return &Error{Kind: ErrConfig, Text: fmt.Sprintf(format, args...)}
}
