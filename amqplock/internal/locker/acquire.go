package locker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Acquire takes the lock, or waits for it. amqplock.Client.Acquire documents it.
func Acquire(ctx context.Context, cfg Config) (*Holder, error) { return acquire(ctx, cfg, true) }

// TryAcquire does not wait. amqplock.Client.TryAcquire documents it.
func TryAcquire(ctx context.Context, cfg Config) (*Holder, error) {
	return acquire(ctx, cfg, false)
}

func acquire(ctx context.Context, cfg Config, wait bool) (*Holder, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Broker = cfg.Afresh()
	waiter := &waitq.Waiter{Lock: cfg.Ref, OnWaiting: cfg.OnWaiting, Retry: cfg.retry}
	pace := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(waitq.LastRetry), backoff.WithMaxElapsedTime(0))
	broker, busy := cfg.Broker.String(), error(nil)
	for first := true; ; first = false {
		c, err := connect(ctx, cfg, wait, first, pace)
		if err != nil && !first && ctx.Err() != nil {
			return nil, notAcquired(ctx, cfg, broker, busy)
		}
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		err = c.acquire(ctx, waiter, wait)
		if err == nil {
			c.compareSize()
			h, err := newHolder(c)
			if err != nil {
				c.abandon()
			}
			return h, err
		}
		broker = c.link.Lock.Broker
		cut := c.link.Lock.IsClosed()
		c.abandon()
		if c.busy != nil {
			busy = c.busy
		}
		if ctx.Err() != nil || isBusy(err) && !wait {
			return nil, notAcquired(ctx, cfg, broker, busy)
		}
		if !cut || !wait {
			return nil, err
		}
		cfg.Debugf("%v; connecting again", err)
		waiter.Report(err)
		if time.Since(begun) > cfg.ConnectTimeout {
			pace.Reset()
		}
	}
}

// contender wants the lock: an attempt, the participant that shows itself meanwhile, and
// the history of what it gets.
type contender struct {
	*attempt
	who *presence.Participant
	log *recorder
}

// acquire tries, and waits if that is wanted.
func (c *contender) acquire(ctx context.Context, waiter *waitq.Waiter, wait bool) error {
	err := c.try(ctx, false)
	alarm := (*wire.AlarmError)(nil) // nobody knows yet whether the lock is free; the alarm will end
	if err == nil || !wait || !isBusy(err) && !errors.As(err, &alarm) {
		return err
	}
	c.cfg.Debugf("waiting for %s: %v", c.cfg.Ref, err)
	waiter.Link, waiter.Try, waiter.PutBack, waiter.Joined = c.link, c.try, c.putBack, c.who.Joins
	return waiter.Wait(ctx, err)
}

// compareSize warns if the semaphore has another number of slots than it would have been
// created with. Where they were not counted it cannot.
func (c *contender) compareSize() {
	if want := c.cfg.Slots; want != 0 && c.size != 0 && c.size != want {
		c.cfg.Warnf("%s has %d slots, not %d; amqprun change --semaphore %s --to %d resizes it",
			c.cfg.Ref, c.size, want, c.cfg.Name, want)
	}
}

// abandon ends a contender that did not get the lock. Where the broker does not answer it
// takes a second for that, and one more for what was collected. The caller's context has
// often ended by then.
func (c *contender) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.putBack(ctx)
	c.link.Close()
	c.who.Wait()
}

// notAcquired is the error when the caller's patience, ctx, has ended, or there was none.
// busy is why the newest try found the lock taken, nil before.
func notAcquired(ctx context.Context, cfg Config, broker string, busy error) error {
	e := &fault.Error{Kind: fault.ErrNotAcquired, Err: context.Cause(ctx)}
	e.Text = fmt.Sprintf("%s on %s was not acquired", cfg.Ref, broker)
	switch {
	case e.Err == nil:
		e.Text += fmt.Sprintf(": %v", busy)
	case errors.Is(e.Err, context.DeadlineExceeded) && busy != nil:
		e.Text += fmt.Sprintf(" in time: %v", busy)
	case errors.Is(e.Err, context.DeadlineExceeded):
		e.Text += " in time: the broker has not answered yet"
	default:
		e.Text += fmt.Sprintf(": %v", e.Err)
	}
	return e
}
