package amqplock

import (
	"errors"
	"fmt"
	"time"
)

// The kinds of failure, for errors.Is. Every error of this package is an *Error with one of them, except where a doc
// comment says otherwise.
var (
	ErrConfig      = errors.New("bad configuration")       // nothing was contacted
	ErrUnreachable = errors.New("broker unreachable")      // no connection, no answer in time, or the broker turned us away
	ErrAccess      = errors.New("permission refused")      // wrong credentials, or a right is missing
	ErrNotFound    = errors.New("not found")               // no such virtual host, no such semaphore
	ErrNotALock    = errors.New("not a lock")              // a queue of that name exists and is somebody's work queue
	ErrNotAcquired = errors.New("lock not acquired")       // held by others, and the caller did not want to wait longer
	ErrLost        = errors.New("lock lost")               // the broker no longer vouches for the lock
	ErrTiming      = errors.New("timings cannot work out") // with the heartbeat that the broker insists on
)

// Error is a failure told to a person: Text says what failed on which lock and broker, and why; Hint, if not empty, what
// to do. Neither ever holds a password.
type Error struct {
	Kind error
	Text string
	Hint string
	Err  error // the cause, for errors.Is and As; Text tells it already; may be nil

	final   bool // although the broker was unreachable, it makes no sense to try again
	passing bool // although it refuses us, it does: it has accepted us before, and may be starting or ending
}

func (e *Error) Error() string { return e.Text }

// Unwrap makes errors.Is match the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// LostError is the cause of Lock.Context when the lock is lost, and what Release returns then. It matches ErrLost.
type LostError struct {
	Lock   string        // `mutex "name"` or `slot 3 of semaphore "name"`
	Broker string        // without credentials
	Reason string        // which check failed and how
	Age    time.Duration // since the last proof that the lock was held
}

func (e *LostError) Error() string {
	return fmt.Sprintf("lost %s on %s: %s (last proven held %s before)",
		e.Lock, e.Broker, e.Reason, e.Age.Round(time.Millisecond))
}

// Is makes errors.Is(err, ErrLost) true.
func (e *LostError) Is(target error) bool { return target == ErrLost }
