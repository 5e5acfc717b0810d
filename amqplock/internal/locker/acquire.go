package locker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/lease"
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
			c.compareSize(ctx)
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
// created with.
func (c *contender) compareSize(ctx context.Context) {
	want := c.cfg.Slots
	if want == 0 || c.size == want {
		return
	}
	how := fmt.Sprintf("%d slots, not", c.size)
	if c.size == 0 { // they were not counted
		fewer, more, err := c.link.Compare(ctx, c.cfg.Name, want)
		switch {
		case err != nil || !fewer && !more:
			return
		case fewer:
			how = "fewer slots than"
		case more:
			how = "more slots than"
		}
	}
	c.cfg.Warnf("%s has %s %d; amqprun change --semaphore %s --to %d resizes it",
		c.cfg.Ref, how, want, shellWord(c.cfg.Name), want)
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

// connect opens what a contender needs. It pauses before each time but the first,
// because a broker may accept each connection and close it at the first request. With
// wait it tries as often as connectAgain does. When ctx is canceled the error matches
// its cause.
func connect(
	ctx context.Context, cfg Config, wait, first bool, pace backoff.BackOff,
) (*contender, error) {
	if !first {
		select {
		case <-time.After(pace.NextBackOff()):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	dial := connectOnce
	if wait {
		dial = connectAgain
	}
	c, err := dial(ctx, cfg)
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		c.newcomer = wait
	case cause != nil && !errors.Is(cause, context.DeadlineExceeded):
		err = &fault.Error{
			Kind: fault.ErrNotAcquired,
			Text: fmt.Sprintf("%s was not acquired: %v", cfg.Ref, cause),
			Err:  cause,
		}
	}
	return c, err
}

// connectOnce opens the connections. The broker may have lowered the heartbeat so far
// that a lease cannot work.
func connectOnce(ctx context.Context, cfg Config) (*contender, error) {
	publish := make(chan *wire.Conn, 1)
	if cfg.Kind == wire.Semaphore || cfg.Fence { // which has to look for a slot first, or into the log
		go func() {
			// The lock connection reports what is wrong, or the next use of this one.
			c, _ := cfg.Open(ctx, wire.ForPublish)
			publish <- c
		}()
	} else {
		publish <- nil
	}
	link, err := wire.Connect(ctx, cfg.Broker)
	early := <-publish
	if err != nil {
		if early != nil {
			early.Abort()
		}
		return nil, err
	}
	c := &contender{
		attempt: newAttempt(cfg, link, false),
		who:     presence.New(cfg.Ref, cfg.Broker, cfg.clock, cfg.About),
		log:     &recorder{cfg: cfg},
	}
	link.OnPublish = c.who.Appear
	if early != nil {
		link.UsePublish(early)
	}
	if t := link.Lock.Config.Heartbeat; !lease.TimingsWork(t, cfg.CheckInterval, cfg.StopTime) {
		link.Abort()
		c.who.Wait()
		return nil, cfg.timingError(fault.ErrTiming, t,
			fmt.Sprintf("the heartbeat of %s that the broker %s insists on", t, link.Lock.Broker))
	}
	return c, nil
}

// connectAgain is connectOnce, again and again while no broker can be reached, for
// Broker.ConnectTimeout after the first failure. One warning says so. Errors that would
// come again end it, a refusal when it has come twice. A RabbitMQ that is ending has no
// users any more, and no virtual hosts.
func connectAgain(ctx context.Context, cfg Config) (*contender, error) {
	away := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(cfg.ConnectTimeout))
	warned, refused := false, false
	var last error
	c, err := backoff.RetryNotifyWithData(func() (*contender, error) {
		c, err := connectOnce(ctx, cfg)
		last = err
		switch {
		case err == nil:
		case wire.Temporary(err):
			refused = false
		case !refused && (errors.Is(err, fault.ErrAccess) || errors.Is(err, fault.ErrNotFound)):
			refused = true
			cfg.Debugf("%v; asking once more", err)
			cfg.Forgive()
			select {
			case <-time.After(secondThought):
			case <-ctx.Done():
			}
		default:
			err = backoff.Permanent(err)
		}
		return c, err
	}, backoff.WithContext(away, ctx), func(err error, _ time.Duration) {
		if !warned && wire.Temporary(err) {
			warned = true
			patience := cfg.ConnectTimeout
			if end, ok := ctx.Deadline(); ok {
				patience = min(patience, time.Until(end).Round(100*time.Millisecond))
			}
			cfg.Warnf("%v; trying again for %s", err, patience)
		}
	})
	if err != nil && ctx.Err() != nil {
		err = last // says more than that the time is over
	}
	return c, err
}
