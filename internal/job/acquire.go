package job

import (
	"context"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/held"
	"github.com/amqprun/amqprun/runner"
)

// Check refuses a job that cannot work, without contacting anything. Call it once, before
// Run or Hold. It reads the files of certificates, of which one may be a pipe.
func Check(s *Spec) (err error) {
	if s.client, err = amqplock.New(s.Broker); err != nil {
		return err
	}
	if err = s.client.Check(s.Lock, options(*s)...); err != nil {
		return err
	}
	return refuseNested(*s)
}

// options say how to take the lock.
func options(s Spec) []amqplock.Option {
	options := []amqplock.Option{
		amqplock.WithSlots(s.Slots), amqplock.WithCount(s.Count),
		amqplock.WithPriority(s.Priority), amqplock.WithCheckInterval(s.CheckInterval),
		amqplock.WithStopTime(stopTime(s)),
		amqplock.WithAbout(func() amqplock.About { return about(s) }),
	}
	if s.History {
		options = append(options, amqplock.WithHistory())
	}
	if s.Once > 0 {
		options = append(options, amqplock.WithOnce(s.Once))
	}
	if s.OnLoss == Pause {
		options = append(options, amqplock.WithRegain(s.Regain))
	}
	if s.Fence {
		options = append(options, amqplock.WithFence())
	}
	if s.Greedy {
		options = append(options, amqplock.WithGreedy())
	}
	return options
}

// stopTime is how long before the end of the lease the end of the command begins.
func stopTime(s Spec) time.Duration {
	if s.OnLoss == Pause {
		return max(s.StopTime, held.PauseTime)
	}
	return s.StopTime
}

// acquire waits for the lock as long as the options and the signals allow. Ctrl-Z gives
// up the place in the wait queue, because a stopped waiter would block those behind it.
// When amqprun is resumed it takes a new place. An elastic set reports its changes to
// changed.
func acquire(
	s Spec, c *console.Console, sigs <-chan os.Signal, changed func([]int),
) (*amqplock.Lock, error) {
	var deadline time.Time
	if s.Wait > 0 {
		deadline = time.Now().Add(s.Wait)
	}
	take := s.client.Acquire
	if s.NoWait {
		take = s.client.TryAcquire
	}
	progress := c.NewProgress(console.Wait{
		Lock:   s.Lock.String(),
		Broker: strings.Join(s.Broker.Names(), ", "),
		Every:  s.Progress,
		Holders: func(ctx context.Context) []amqplock.Participant {
			list, _ := s.client.Holders(ctx, s.Lock)
			return list
		},
	})
	standby := newStandby(s.Lock.String())
	options := append(options(s), amqplock.OnWaiting(func(w amqplock.Waiting) {
		progress.Update(w)
		standby.update(w)
	}))
	if s.Elastic {
		options = append(options, amqplock.WithElastic(changed))
	}
	defer runner.ReapOthers()()
	for {
		ctx, handBack := untilSignal(sigs, deadline)
		lock, err := take(ctx, s.Lock, options...)
		progress.End()
		standby.done(waitedFor(s.Lock, err))
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
		c.Warnf("stopped; out of the wait queue until resumed")
		runner.Suspend(got.Signal, false) // the terminal has stopped the rest of the group
	}
}

// waitedFor is how a wait has ended, for systemd.
func waitedFor(lock amqplock.Ref, err error) string {
	if err != nil {
		return lock.String() + " was not acquired"
	}
	return "holds " + lock.String()
}
