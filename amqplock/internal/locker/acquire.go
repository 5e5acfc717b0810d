package locker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"al.essio.dev/pkg/shellescape"

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
	waiter := &waitq.Waiter{
		Queue:     waitq.Queue{Lock: cfg.Ref, Priority: cfg.Priority, Look: cfg.look},
		OnWaiting: cfg.OnWaiting, Retry: cfg.retry,
	}
	pace := wire.Pace(100*time.Millisecond, waitq.LastRetry)
	s := &search{cfg: cfg, broker: cfg.Broker.String(), unfit: map[string]refusals{}}
	half := time.Now().Add(cfg.ConnectTimeout) // until when a witness may be half made
	for first := true; ; first = false {
		c, err := connect(ctx, cfg, wait, first, pace)
		if err != nil && !first && ctx.Err() != nil {
			return nil, s.failed(ctx, err)
		}
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		err = s.try(ctx, c)
		if wait && c.mayPass(err, first) {
			err = c.wait(ctx, waiter, err)
		}
		if err == nil {
			return hold(c)
		}
		another := c.link.Lock.IsClosed() || c.tokenless
		if c.unfit != "" {
			another = s.leaves(c.unfit)
		}
		c.abandon()
		if c.half && ctx.Err() == nil && time.Now().Before(half) {
			cfg.Debugf("%v; connecting again", err)
			continue
		}
		if ctx.Err() != nil || isBusy(err) && !wait {
			return nil, s.failed(ctx, c.busy)
		}
		if !another || !wait || errors.Is(err, fault.ErrNotAcquired) { // an eviction may be confirmed
			return nil, err
		}
		s.lost(c, err)
		cfg.Skip()
		waiter.Report(err)
		if time.Since(begun) > cfg.ConnectTimeout {
			pace.Reset()
		}
	}
}

// hold makes the contender that got the lock its Holder.
func hold(c *contender) (*Holder, error) {
	h, err := newHolder(c)
	if err != nil {
		c.abandon()
	}
	return h, err
}

// search is what is known of the tries so far, over one connection after another.
type search struct {
	cfg    Config
	broker string // of the newest connection
	why    error  // the newest reason why we do not have the lock; nil before
	away   bool   // the broker, and a warning has said so

	tokenless bool                // a node gave no token, and none is known to give one since
	unfit     map[string]refusals // since then, by node
}

// refusals are those of a node that gives no token. A node without a replica of the
// stream refuses for ever. One whose replica is just starting answers the same, and so
// does one that awaits a new leader of the stream.
type refusals struct{ first, last time.Time }

// unfitTime is for how long a node has to refuse to be unfit.
const unfitTime = 30 * time.Second

// try is the first over a connection. After a refusal it asks first whether this node
// would give a token. A try that finds out has the lock meanwhile, and may have its turn
// once in hours.
func (s *search) try(ctx context.Context, c *contender) error {
	s.broker = c.link.Lock.Broker
	if s.tokenless {
		if err := c.checkLog(ctx); err != nil {
			return err
		}
		s.tokenless = false
		clear(s.unfit)
	}
	err := c.try(ctx, false)
	// Only an answer shows that the broker is back: one that stops may take connections and
	// end them.
	if s.away && (err == nil || isBusy(err)) {
		s.away = false
		s.cfg.Warnf("connected to %s again, with a new place in the wait queue", s.broker)
	}
	return err
}

// lost notes the end of a connection while we waited.
func (s *search) lost(c *contender, err error) {
	s.why, s.tokenless = err, s.tokenless || c.tokenless
	if !s.away {
		s.away = true
		s.cfg.Warnf("%v; connecting again", err)
	}
}

// leaves notes that a node gives no token, and reports whether any may still give one.
func (s *search) leaves(node string) (again bool) {
	now, r := time.Now(), s.unfit[node]
	if r.first.IsZero() {
		r.first = now
	}
	r.last = now
	s.unfit[node] = r
	return slices.ContainsFunc(s.cfg.Names(), func(node string) bool {
		r := s.unfit[node]
		return r.last.Sub(r.first) < unfitTime
	})
}

// failed is the error when the caller's patience, ctx, has ended, or there was none. why
// is the newest reason, if there is one.
func (s *search) failed(ctx context.Context, why error) error {
	if why != nil && !errors.Is(why, context.Cause(ctx)) {
		s.why = why
	}
	return notAcquired(ctx, s.cfg, s.broker, s.why)
}

// mayPass reports whether a wait may follow a try that ended with err: others hold the
// lock, or the broker does not answer well now. On the first connection that is an alarm,
// no answer in time, or an end of the publish connection. The broker may take no new one,
// because it stops. Other answers would come again.
func (c *contender) mayPass(err error, first bool) bool {
	switch {
	case isUsual(err):
		return true
	case c.link.Lock.IsClosed(), c.tokenless, !errors.Is(err, fault.ErrUnreachable):
		return false
	}
	publish := c.link.Publish()
	return !first || errors.Is(err, context.DeadlineExceeded) || wire.Away(err) ||
		publish != nil && publish.IsClosed()
}

// isUsual reports whether others hold the lock, or the broker is in an alarm, of which
// the waiter warns.
func isUsual(err error) bool {
	alarm := (*wire.AlarmError)(nil)
	return isBusy(err) || errors.As(err, &alarm)
}

// wait waits after a try that ended with why.
func (c *contender) wait(ctx context.Context, waiter *waitq.Waiter, why error) error {
	if isUsual(why) {
		c.cfg.Debugf("waiting for %s: %v", c.cfg.Ref, why)
	} else {
		c.cfg.Warnf("%v; trying again", why)
	}
	waiter.Link, waiter.Try, waiter.PutBack, waiter.Joined = c.link, c.try, c.putBack, c.who.Joins
	waiter.Who = c.who
	evictable, evict := context.WithCancelCause(ctx)
	defer evict(nil)
	c.who.Collects(&presence.Holding{Slots: c.held.list, Evict: evict})
	err := waiter.Wait(evictable, why)
	c.who.Collects(nil) // from here on nobody gets a confirmation that we would not obey
	if evictable.Err() != nil && ctx.Err() == nil {
		confirm(ctx, c.who, c.link)
		return notAcquired(evictable, c.cfg, c.link.Lock.Broker, nil)
	}
	return err
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
	switch change := "amqprun change --semaphore " + shellescape.Quote(cfg.Name) + " --to N"; {
	case errors.Is(busy, errPaused):
		e.Hint = change + " gives it slots"
	case errors.Is(busy, fault.ErrTooFew):
		e.Hint = change + " makes more slots; or lower --count"
	}
	return e
}
