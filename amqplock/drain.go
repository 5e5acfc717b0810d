package amqplock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// drainPoll is between two looks at the slot that is to be removed next. Nobody takes it meanwhile, so there is no hurry.
const drainPoll = 50 * time.Millisecond

// Drain removes the last n slots of semaphore cfg.Name, each when its holder has left: no holder loses its slot, and while it goes on none of us
// takes the last one (the original does, and is waited for). It blocks until that is done or ctx ends. Interrupted, also by kill -9, it leaves
// the slots that are not drained yet as they are. Of two at the same time the second fails with ErrNotAcquired. Of cfg only Broker, Name
// and Logf count.
func Drain(ctx context.Context, cfg Config, n int) error {
	cfg.Kind = Semaphore
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	s, err := connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.farewell() // also after an error: see giveBack
	a := &admin{s}
	err = s.timed(ctx, "drain "+s.lockName(), func() error { return s.own.claim(drainQueue(cfg.Name)) })
	if err = s.notGranted(ctx, drainQueue(cfg.Name), err); err != nil {
		if errors.Is(err, errBusy) {
			return &Error{Kind: ErrNotAcquired, Text: fmt.Sprintf("%s on %s is being drained already", s.lockName(), s.hold.broker)}
		}
		return err
	}
	for range n {
		done, err := a.drainOne(ctx)
		if err != nil || done {
			return err
		}
	}
	return a.delete(ctx, drainQueue(cfg.Name))
}

// drainOne waits until the last slot is free and removes it; done says that there is none.
func (a *admin) drainOne(ctx context.Context) (done bool, err error) {
	told := 0
	for {
		found, err := a.survey(ctx)
		if err != nil || found.count == 0 {
			return true, err
		}
		last := found.count
		free, err := a.missing(ctx, heldQueue(a.cfg.Name, last))
		if err != nil {
			return false, err
		}
		if free {
			if removed, err := a.removeFree(ctx, last); err != nil || removed {
				return false, err
			}
		} else if told != last {
			a.cfg.Logf("waiting for the holder of slot %d", last)
			told = last
		}
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// removeFree removes slot last if it can be taken and is still the last: another administrator may have added slots.
func (a *admin) removeFree(ctx context.Context, last int) (removed bool, err error) {
	err = a.timed(ctx, fmt.Sprintf("take slot %d", last), func() error { return a.own.claim(heldQueue(a.cfg.Name, last)) })
	if err = a.notGranted(ctx, heldQueue(a.cfg.Name, last), err); errors.Is(err, errBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = a.exclusively(ctx, func() error {
		found, err := a.survey(ctx)
		if err != nil || found.count != last {
			return err
		}
		removed = true
		return a.shrink(ctx, found, 1)
	})
	if err != nil {
		return false, err
	}
	return removed, a.delete(ctx, heldQueue(a.cfg.Name, last))
}
