package wire

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Call runs f, which blocks on the broker heedless of any context, and returns early when
// ctx ends. Then f's goroutine lives until the connection ends; it must not touch what
// others use.
func Call(ctx context.Context, f func() error) error {
	_, err := CallFor(ctx, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// CallFor is Call for an f with a result. Where ctx has ended before, it does not call f:
// whether the answer to f was faster would be luck.
func CallFor[T any](ctx context.Context, f func() (T, error)) (value T, err error) {
	if ctx.Err() != nil {
		return value, context.Cause(ctx)
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := f()
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return value, context.Cause(ctx)
	}
}

// Pace is pauses that grow from first to most, and have no end.
func Pace(first, most time.Duration) backoff.BackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(first),
		backoff.WithMaxInterval(most), backoff.WithMaxElapsedTime(0))
}

// Pause waits for d. It returns early, with its cause, when ctx ends.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
