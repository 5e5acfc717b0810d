package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
)

// interrupted says that a signal ended the wait for the lock.
type interrupted struct{ signal syscall.Signal }

func (i *interrupted) Error() string {
	return fmt.Sprintf("%s while waiting for the lock", signals.Name(i.signal))
}

// stops tells Ctrl-Z from the end.
func (i *interrupted) stops() bool { return i.signal == syscall.SIGTSTP }

// untilSignal returns a context that ends at deadline, if that is not zero, or at a signal that ends or stops a process; the others have
// nothing to say to one who waits. Without a command yet, QUIT is another TERM. handBack stops reading sigs and returns the signal
// that was taken from it, so that none is lost.
func untilSignal(sigs <-chan os.Signal, deadline time.Time) (_ context.Context, handBack func() *interrupted) {
	ctx, cancelCause := context.WithCancelCause(context.Background())
	cancelDeadline := func() {}
	waiting := ctx
	if !deadline.IsZero() {
		waiting, cancelDeadline = context.WithDeadline(ctx, deadline)
	}
	stop, got := make(chan struct{}), make(chan *interrupted, 1)
	go func() {
		for {
			select {
			case s := <-sigs:
				if s == syscall.SIGTSTP && !runner.Resumable() {
					continue // nobody could resume us, so the kernel would not stop us: then there is no reason to leave the line
				}
				switch s {
				case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGTSTP:
					taken := &interrupted{s.(syscall.Signal)}
					cancelCause(taken)
					got <- taken
					return
				}
			case <-stop:
				got <- nil
				return
			}
		}
	}()
	return waiting, func() *interrupted {
		close(stop)
		taken := <-got
		cancelDeadline()
		cancelCause(nil)
		return taken
	}
}
