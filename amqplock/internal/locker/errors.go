package locker

import (
	"errors"
	"fmt"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/history"
)

func isBusy(err error) bool { return errors.Is(err, fault.ErrBusy) }

// errPaused matches fault.ErrBusy.
var errPaused = &fault.Error{Kind: fault.ErrBusy, Text: "it is paused (0 slots)"}

// NoSemaphore is the error where a semaphore does not exist.
func NoSemaphore(name, broker string) error {
	return &fault.Error{
		Kind: fault.ErrNotFound,
		Text: fmt.Sprintf("there is no semaphore %q on %s", name, broker),
		Hint: fmt.Sprintf("create it with: amqprun change --semaphore %s --to N, or give --create N",
			shellescape.Quote(name)),
	}
}

// NotALock is the error where a queue of that name is none of ours.
func NotALock(queue, broker string) error {
	return &fault.Error{
		Kind: fault.ErrNotALock,
		Text: fmt.Sprintf("queue %q on %s is not exclusive: it is a work queue, no lock", queue, broker),
		Hint: "name the lock differently",
	}
}

// reservedError says that what was granted is reserved for other runs.
type reservedError struct{ by []history.Reserved }

func (e *reservedError) Error() string {
	left := time.Duration(0)
	for _, r := range e.by {
		left = max(left, r.Left)
	}
	return fmt.Sprintf("it is free, but the run that has lost it may take it again for %s",
		left.Round(time.Second))
}

// Is makes it one of the reasons why others wait.
func (e *reservedError) Is(target error) bool { return target == fault.ErrBusy }

// cutError is the reason of a loss that says nothing about the lock: the connection has
// ended, or the broker is silent.
type cutError struct{ error }

func (e *cutError) Unwrap() error { return e.error }
