package exit

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/runner"
)

// TestExitCodes pairs each kind of failure with its code, also where errors are wrapped
// and joined.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code int
	}{
		{&UsageError{Text: "x"}, 64},
		{&amqplock.Error{Kind: amqplock.ErrConfig}, 64},
		{&amqplock.Error{Kind: amqplock.ErrUnreachable}, 69},
		{&amqplock.Error{Kind: amqplock.ErrTiming}, 69},
		{&amqplock.Error{Kind: amqplock.ErrNotAcquired}, 75},
		{&amqplock.Error{Kind: amqplock.ErrLost}, 76},
		{&amqplock.Error{Kind: amqplock.ErrAccess}, 77},
		{&amqplock.Error{Kind: amqplock.ErrNotFound}, 78},
		{&amqplock.Error{Kind: amqplock.ErrNotALock}, 78},
		{&runner.StartError{Code: 126}, 126},
		{&runner.StartError{Code: 127}, 127},
		{&runner.StartError{Code: 125}, 125},
		{errors.New("something else"), 125},
	} {
		for _, err := range []error{c.err, fmt.Errorf("more: %w", c.err),
			errors.Join(c.err, errors.New("and this"))} {
			if got := Status(err); got != c.code {
				t.Errorf("%#v exits with %d, want %d", err, got, c.code)
			}
		}
	}
	// Another that lost its lock because it could not be reached has lost it.
	if got := Status(errors.Join(&amqplock.Error{Kind: amqplock.ErrUnreachable},
		&amqplock.Error{Kind: amqplock.ErrLost})); got != 76 {
		t.Errorf("a loss among other errors exits with %d", got)
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	held := &amqplock.Error{Kind: amqplock.ErrNotAcquired}
	for _, c := range []struct {
		err  error
		want Outcome
	}{
		{nil, Outcome{}},
		{held, Outcome{Code: 3}},
		{&amqplock.Error{Kind: amqplock.ErrAccess}, Outcome{Code: 77}},
		{&Interrupted{Signal: syscall.SIGTERM}, Outcome{Code: 143}},
		{&Interrupted{Signal: syscall.SIGINT}, Outcome{Code: 130, Signal: syscall.SIGINT}},
	} {
		if got := Of(c.err, 3); got != c.want {
			t.Errorf("%v ends as %+v, want %+v", c.err, got, c.want)
		}
	}
}

func TestHint(t *testing.T) {
	t.Parallel()
	known := &amqplock.Error{Kind: amqplock.ErrAccess, Hint: "a"}
	for want, err := range map[string]error{
		"": errors.New("x"), "a": known, "b": &UsageError{Hint: "b"}, "c": WithHint(known, "c"),
	} {
		if got := Hint(fmt.Errorf("more: %w", err)); got != want {
			t.Errorf("the hint of %v is %q, want %q", err, got, want)
		}
	}
}
