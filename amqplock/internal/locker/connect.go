package locker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/lease"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// connect opens what a contender needs. It pauses before each time but the first,
// because a broker may accept each connection and close it at the first request. With
// wait it tries as often as connectFirst and connectAgain do. When ctx is canceled the
// error matches its cause.
func connect(
	ctx context.Context, cfg Config, wait, first bool, pace backoff.BackOff,
) (*contender, error) {
	if !first {
		if err := wire.Pause(ctx, pace.NextBackOff()); err != nil {
			return nil, err
		}
	}
	dial := connectOnce
	switch {
	case wait && first:
		dial = connectFirst
	case wait:
		dial = connectAgain
	}
	c, err := dial(ctx, cfg)
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		c.newcomer, c.waits = wait, wait
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
	link.Expect, link.Prefer = cfg.Slots, cfg.Prefer
	if cfg.About != nil {
		cfg.About = shownAbout(cfg.About, cfg.runID)
	}
	c := &contender{
		attempt: newAttempt(cfg, link),
		who:     presence.New(cfg.Ref, cfg.Broker, cfg.clock, cfg.Priority, cfg.About),
		log:     &recorder{logWriter: logWriter{cfg: cfg}, published: make(chan *wire.Conn, 1)},
	}
	link.OnPublish = func(publish *wire.Conn) {
		c.who.Appear(publish)
		c.log.publishes(publish)
	}
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

// shownAbout says the same in the answers and in the history, which ask beside each
// other. Nobody sees an answer without an ID.
func shownAbout(about func() presence.About, runID string) func() presence.About {
	return sync.OnceValue(func() presence.About {
		a := about()
		a.ID = cmp.Or(presence.ShownID(a.ID), runID)
		return a
	})
}

// connectFirst is connectOnce, again and again while no broker can be reached, for
// Broker.ConnectTimeout after the first failure. One warning says so. Errors that would
// come again end it, a refusal when it has come twice. A RabbitMQ that is ending has no
// users any more, and no virtual hosts.
func connectFirst(ctx context.Context, cfg Config) (*contender, error) {
	warned, refused := false, false
	return redial(ctx, cfg, cfg.ConnectTimeout, func(err error) (again bool) {
		switch {
		case wire.Temporary(err):
			refused = false
		case !refused && (errors.Is(err, fault.ErrAccess) || errors.Is(err, fault.ErrNotFound)):
			refused = true
			cfg.Debugf("%v; asking once more", err)
			cfg.Forgive()
			_ = wire.Pause(ctx, secondThought)
		default:
			return false
		}
		return true
	}, func(err error) {
		if !warned && wire.Temporary(err) {
			warned = true
			patience := cfg.ConnectTimeout
			if end, ok := ctx.Deadline(); ok {
				patience = min(patience, time.Until(end).Round(100*time.Millisecond))
			}
			cfg.Warnf("%v; trying again for %s", err, patience)
		}
	})
}

// secondThought is when to ask a broker again that has refused us: by then one that is
// ending has ended.
const secondThought = time.Second

// connectAgain is connectOnce, again and again until ctx ends: the broker has accepted us
// before. It has Broker.ConnectTimeout to take back a refusal, unless another node may
// come back.
func connectAgain(ctx context.Context, cfg Config) (*contender, error) {
	var refused time.Time // since when, without a break; zero: the last try was not refused
	return redial(ctx, cfg, 0, func(err error) (again bool) {
		switch {
		case wire.Away(err):
			refused = time.Time{}
		case !wire.Temporary(err):
			return false
		case refused.IsZero():
			refused = time.Now()
		}
		return refused.IsZero() || time.Since(refused) < cfg.ConnectTimeout
	}, func(err error) { cfg.Debugf("%v", err) })
}

// redial is connectOnce until that succeeds, again returns false for its error, ctx ends,
// or patience is over. A patience of 0 has no end. It calls retrying before each pause.
func redial(
	ctx context.Context, cfg Config, patience time.Duration,
	again func(error) bool, retrying func(error),
) (*contender, error) {
	pace := wire.Pace(100*time.Millisecond, 2*time.Second)
	if patience > 0 {
		pace = within{pace, time.Now().Add(patience)}
	}
	var last error
	c, err := backoff.RetryNotifyWithData(func() (*contender, error) {
		c, err := connectOnce(ctx, cfg)
		if last == nil || !isOver(ctx) { // a try that ctx has cut short says less
			last = err
		}
		if err != nil && !again(err) {
			err = backoff.Permanent(err)
		}
		return c, err
	}, backoff.WithContext(pace, ctx), func(err error, _ time.Duration) { retrying(err) })
	if err != nil && isOver(ctx) {
		err = last // says more than that the time is over
	}
	return c, err
}

// isOver is ctx.Err, but a dial that ends with the time of ctx may be a moment earlier.
func isOver(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(end)
}

// within is a pace whose last pause ends at that instant. backoff.WithMaxElapsedTime
// would leave it out, and give up some seconds early.
type within struct {
	backoff.BackOff
	end time.Time
}

func (w within) NextBackOff() time.Duration {
	left := time.Until(w.end)
	if left <= 0 {
		return backoff.Stop
	}
	return min(w.BackOff.NextBackOff(), left)
}
