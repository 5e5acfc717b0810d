package exit

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/signals"
)

// UsageError says what is wrong with the command line or the environment. Nothing was
// contacted.
type UsageError struct{ Text, Hint string }

// Usagef returns a UsageError without a hint.
func Usagef(format string, args ...any) *UsageError {
	return &UsageError{Text: fmt.Sprintf(format, args...)}
}

func (e *UsageError) Error() string { return e.Text }

// Interrupted says that a signal ended a run without the lock: its wait for that, or its
// pause.
type Interrupted struct {
	Signal syscall.Signal
	While  string
}

func (i *Interrupted) Error() string {
	return fmt.Sprintf("%s while %s", signals.Name(i.Signal), i.While)
}

// hinted is an error with a hint.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// WithHint returns err with the hint that Hint returns for it.
func WithHint(err error, hint string) error { return &hinted{err, hint} }

// Hint says what to do about err; it is empty where there is nothing to say.
func Hint(err error) string {
	var given *hinted
	var known *amqplock.Error
	var usage *UsageError
	switch {
	case errors.As(err, &given):
		return given.hint
	case errors.As(err, &known):
		return known.Hint
	case errors.As(err, &usage):
		return usage.Hint
	}
	return ""
}
