package job

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/runner"
)

// acquire waits for the lock as long as the options and the signals allow. Ctrl-Z gives up the
// place in the line, because a stopped waiter would block those behind it. When amqprun is resumed
// it takes a new place.
func acquire(s Spec, c *console.Console, sigs <-chan os.Signal) (*amqplock.Lock, error) {
	var deadline time.Time
	if s.Wait > 0 {
		deadline = time.Now().Add(s.Wait)
	}
	take := amqplock.Acquire
	if s.NoWait {
		take = amqplock.TryAcquire
	}
	cfg := s.Lock
	cfg.Logf, cfg.Warnf = c.Stepf, c.Warnf
	cfg.About = func() amqplock.About { return about(s) }
	progress := c.NewProgress(console.Wait{
		Lock:    fmt.Sprintf("%s %q", cfg.Kind, cfg.Name),
		Broker:  strings.Join(cfg.Names(), ", "),
		Every:   s.Progress,
		Holders: holders(s.Lock),
	})
	cfg.OnWaiting = progress.Update
	defer runner.ReapOthers()()
	for {
		ctx, handBack := untilSignal(sigs, deadline)
		lock, err := take(ctx, cfg)
		progress.End()
		got := handBack()
		switch {
		case got == nil:
			return lock, err
		case lock != nil: // granted in the instant of the signal
			_ = release(lock)
		}
		if got.Signal != syscall.SIGTSTP {
			return nil, got
		}
		c.Warnf("stopped; out of the line until resumed")
		runner.Suspend(got.Signal, false) // the terminal has stopped the rest of the group
	}
}

// holders returns a function that asks who holds the lock.
func holders(cfg amqplock.Config) func(context.Context) []amqplock.Participant {
	return func(ctx context.Context) []amqplock.Participant {
		list, _ := amqplock.Holders(ctx, cfg)
		return list
	}
}
