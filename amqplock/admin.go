package amqplock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

// overshoot is how many slots beyond the highest one known Destroy deletes, as the original does: there may be some behind a hole.
const overshoot = 100

// adminPatience is how long an administrator waits for another to finish.
const adminPatience = 5 * time.Second

// Adjust changes the number of slots of semaphore cfg.Name by delta, and creates it when it does not exist and delta is not negative.
// Slots are added at the end and removed from the end, one by one, never below 0; a semaphore with 0 slots is paused. The holder of a
// removed slot loses it at its next check. When it fails half-way the slots are still without a hole.
//
// The queue cfg.Name is the administration mutex, so a mutex of that name keeps administrators out: then, after some seconds, the
// error matches ErrNotAcquired. Of cfg only Broker, Name and Logf count.
func Adjust(ctx context.Context, cfg Config, delta int) error {
	return administer(ctx, cfg, func(ctx context.Context, a *admin) error {
		found, err := a.survey(ctx)
		if err != nil {
			return err
		}
		if delta < 0 {
			return a.shrink(ctx, found, -delta)
		}
		if found.count+delta > MaxSlots {
			return &Error{
				Kind: ErrConfig,
				Text: fmt.Sprintf("semaphore %q would have %d slots, at most %d are possible", a.cfg.Name, found.count+delta, MaxSlots),
			}
		}
		if !found.known || found.ours {
			if err := a.ensure(ctx, 0); err != nil {
				return err
			}
		}
		return a.grow(ctx, found.count, delta)
	})
}

// Resize gives semaphore cfg.Name exactly n slots, creating it and mending holes if need be, and otherwise does what Adjust does.
func Resize(ctx context.Context, cfg Config, n int) error {
	if n < 0 || n > MaxSlots {
		return &Error{Kind: ErrConfig, Text: fmt.Sprintf("%d slots: must be from 0 to %d", n, MaxSlots)}
	}
	return administer(ctx, cfg, func(ctx context.Context, a *admin) error {
		found, err := a.survey(ctx)
		if err != nil {
			return err
		}
		most := max(found.count, n)
		if err := a.deleteDown(ctx, most+overshoot, most+1); err != nil { // what may be behind a hole
			return err
		}
		if found.count > n {
			return a.shrink(ctx, found, found.count-n)
		}
		if found.ours || found.count == 0 {
			if err := a.ensure(ctx, 0); err != nil {
				return err
			}
		}
		return a.grow(ctx, found.count, n-found.count)
	})
}

// Destroy removes semaphore cfg.Name with all its slots, and its waiting line; one that does not exist is no error. Holders lose their slots at
// their next check, and waiters are told that the semaphore is gone. Of cfg only Broker, Name and Logf count.
func Destroy(ctx context.Context, cfg Config) error {
	return administer(ctx, cfg, func(ctx context.Context, a *admin) error {
		found, err := a.survey(ctx)
		if err != nil {
			return err
		}
		if err := a.deleteDown(ctx, found.count+overshoot, 0); err != nil {
			return err
		}
		if err := a.delete(ctx, tripQueue(a.cfg.Name)); err != nil {
			return err
		}
		return a.delete(ctx, lineQueue(a.cfg.Name))
	})
}

// admin changes a semaphore. All it writes goes over the connection that holds the administration mutex: an administrator that loses the
// mutex with its connection can not go on writing.
type admin struct{ *session }

// administer runs f under the administration mutex. Where the broker fails itself (541) before that is had, nothing has been changed and it
// tries once more: RabbitMQ 4.0 does when the claim crosses the death of another administrator.
func administer(ctx context.Context, cfg Config, f func(context.Context, *admin) error) error {
	cfg.Kind = Semaphore
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	begun := false
	once := func() error {
		return administerOnce(ctx, cfg, func(ctx context.Context, a *admin) error {
			begun = true
			return f(ctx, a)
		})
	}
	err = once()
	if code(err) == amqp.InternalError && !begun {
		err = once()
	}
	return err
}

func administerOnce(ctx context.Context, cfg Config, f func(context.Context, *admin) error) error {
	s, err := connect(ctx, cfg)
	if err != nil {
		return err
	}
	a := &admin{s}
	err = a.exclusively(ctx, func() error { return f(ctx, a) })
	if err == nil {
		a.wakeNext(ctx)
	}
	a.farewell() // also after an error: see giveBack
	return err
}

// exclusively runs f under the administration mutex.
func (a *admin) exclusively(ctx context.Context, f func() error) error {
	err := backoff.Retry(func() error {
		err := a.timed(ctx, "administer "+a.lockName(), func() error { return a.own.claim(a.cfg.Name) })
		if err = a.notGranted(ctx, a.cfg.Name, err); !errors.Is(err, errBusy) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(backoff.NewExponentialBackOff(backoff.WithInitialInterval(20*time.Millisecond),
		backoff.WithMaxInterval(500*time.Millisecond), backoff.WithMaxElapsedTime(adminPatience)), ctx))
	if errors.Is(err, errBusy) {
		return &Error{
			Kind: ErrNotAcquired,
			Text: fmt.Sprintf("%s on %s cannot be changed: another administrator, or a mutex of the same name, holds queue %q",
				a.lockName(), a.hold.broker, a.cfg.Name),
			Hint: "try again later",
		}
	}
	if err != nil {
		return err
	}
	err = f()
	if given := a.delete(ctx, a.cfg.Name); err == nil {
		err = given
	}
	return err
}

// grow adds n slots after the first count.
func (a *admin) grow(ctx context.Context, count, n int) error {
	for i := count + 1; i <= count+n; i++ {
		if err := a.ensure(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// shrink removes the last n slots, and leaves a paused semaphore rather than none.
func (a *admin) shrink(ctx context.Context, found slots, n int) error {
	if !found.known {
		return nil
	}
	if err := a.deleteDown(ctx, found.count, max(found.count-n, 0)+1); err != nil {
		return err
	}
	if found.count <= n {
		return a.ensure(ctx, 0)
	}
	return nil
}

// deleteDown removes the slots from the last to the first, so that a half-done removal leaves no hole.
func (a *admin) deleteDown(ctx context.Context, last, first int) error {
	for i := last; i >= first; i-- {
		if err := a.delete(ctx, slotQueue(a.cfg.Name, i)); err != nil {
			return err
		}
	}
	return nil
}

// ensure creates slot i unless there is one, perhaps of the original's kind: declaring that again with other arguments would be an error.
func (a *admin) ensure(ctx context.Context, i int) error {
	queue := slotQueue(a.cfg.Name, i)
	if missing, err := a.missing(ctx, queue); err != nil || !missing {
		return err
	}
	return a.timed(ctx, "create queue "+queue, func() error { return a.own.create(queue) })
}

func (a *admin) delete(ctx context.Context, queue string) error {
	return a.timed(ctx, "delete queue "+queue, func() error { return a.own.remove(queue) })
}
