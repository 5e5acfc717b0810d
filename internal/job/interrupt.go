package job

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/runner"
)

// untilSignal returns a context that ends at deadline, if that is not zero, or at a
// signal that ends or stops a process. Without a command yet, QUIT is another TERM, and
// the other signals mean nothing to a waiter. handBack stops reading sigs and returns the
// signal that was taken from it, so that none is lost.
func untilSignal(sigs <-chan os.Signal, deadline time.Time) (
	_ context.Context, handBack func() *exit.Interrupted,
) {
	ctx, cancelCause := context.WithCancelCause(context.Background())
	cancelDeadline := func() {}
	waiting := ctx
	if !deadline.IsZero() {
		waiting, cancelDeadline = context.WithDeadline(ctx, deadline)
	}
	stop, got := make(chan struct{}), make(chan *exit.Interrupted, 1)
	go func() {
		for {
			select {
			case s := <-sigs:
				if interrupts(s) {
					taken := &exit.Interrupted{
						Signal: s.(syscall.Signal), While: "waiting for the lock",
					}
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
	return waiting, func() *exit.Interrupted {
		close(stop)
		taken := <-got
		cancelDeadline()
		cancelCause(nil)
		return taken
	}
}

// interrupts reports whether s ends the wait. The kernel does not stop a process that
// nobody could resume, so such a process keeps its place in the wait queue.
func interrupts(s os.Signal) bool {
	switch s {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM:
		return true
	case syscall.SIGTSTP:
		return runner.Resumable()
	}
	return false
}
