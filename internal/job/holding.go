package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/internal/held"
	"github.com/amqprun/amqprun/runner"
)

// holding is the lock that a run holds, or has lost. With Pause and Keep another Lock may
// take the place of the first. Its methods may be called at the same time.
type holding struct {
	spec  Spec
	c     *console.Console
	slots []int // with which the command is started

	mu     sync.Mutex
	lock   *amqplock.Lock
	unheld time.Duration // for how long a command has gone on without the lock
}

func (h *holding) current() *amqplock.Lock {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lock
}

func (h *holding) lease() held.Lease { return held.Of(h.current().Context()) }

func (h *holding) replace(lock *amqplock.Lock) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lock = lock
}

// run runs the command under the lock.
func (h *holding) run(command *runner.Command) (runner.Status, error) {
	if h.spec.Verbose { // only then the runner looks for what the command leaves behind
		command.Logf = h.c.Stepf
	}
	begun := time.Now()
	ctx, unbind := h.bind(command)
	status, err := command.Run(ctx)
	unbind()
	if status.Started {
		took := time.Since(begun).Round(time.Millisecond)
		h.c.Stepf("the command %s after %s", ending(status), took)
	}
	return status, err
}

// bind makes the command and its guard obey the lock.
func (h *holding) bind(command *runner.Command) (ctx context.Context, unbind func()) {
	if h.spec.OnLoss == Keep { // no lease counts, and the guard must not act on a connection's end
		return h.keep()
	}
	h.guard(command.Guard)
	command.Until = func() time.Duration { return h.lease().Until() }
	command.Verify = func(ctx context.Context) error { return h.current().Verify(ctx) }
	if h.spec.OnLoss == Pause {
		command.Pause = &runner.Pause{
			Possible: func(error) bool { return h.current().MayRegain() },
			Regain: func(ctx context.Context) (context.Context, error) {
				return h.regain(ctx, command.Guard)
			},
		}
	}
	return h.current().Context(), func() {}
}

// guard gives the guard the connection and the lease.
func (h *holding) guard(g *runner.Guard) {
	g.KeepSocket(h.lease().Socket())
	h.lease().OnRenew(g.Renew)
}

// regain is for runner.Pause.
func (h *holding) regain(ctx context.Context, g *runner.Guard) (context.Context, error) {
	lost := h.current()
	h.c.Warnf("%v; the command is paused until the lock is held again, for %s at most",
		context.Cause(lost.Context()), h.spec.Regain)
	lock, err := lost.Regain(ctx)
	if err != nil {
		return nil, err
	}
	h.replace(lock)
	h.guard(g)
	return lock.Context(), nil
}

// keep returns a context that ends at a loss which stops the command nevertheless. Until
// unbind is called a lock that was lost otherwise is taken again.
func (h *holding) keep() (ctx context.Context, unbind func()) {
	ctx, lose := context.WithCancelCause(context.Background())
	taking, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			lock := h.current()
			select {
			case <-lock.Context().Done():
			case <-taking.Done():
			}
			if taking.Err() != nil {
				return
			}
			if !h.lease().CutOff() {
				lose(context.Cause(lock.Context()))
				return
			}
			if err := h.takeAgain(taking, lock); err != nil {
				lose(err)
				return
			}
		}
	}()
	return ctx, func() {
		end()
		<-done
		lose(nil)
	}
}

// takeAgainRetry is the pause after a wait for the lock that has failed.
const takeAgainRetry = 5 * time.Second

// takeAgain takes the lock like everybody, with the command's slots where they are free.
// It returns an error when ctx has ended, and an ErrLost after an eviction.
func (h *holding) takeAgain(ctx context.Context, lost *amqplock.Lock) error {
	begun := time.Now()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.unheld += time.Since(begun)
	}()
	h.c.Warnf("%v; the command goes on without the lock", context.Cause(lost.Context()))
	_ = release(lost)
	if !held.Of(lost.Context()).CutOff() { // evicted meanwhile
		return context.Cause(lost.Context())
	}
	for {
		lock, err := h.spec.client.Acquire(held.Prefer(ctx, h.slots), h.spec.Lock, options(h.spec)...)
		if err == nil {
			h.replace(lock)
			other := ""
			if !slices.Equal(numbered(lock.Slots()), h.slots) {
				other = "; the command still has AMQPRUN_SLOTS=" + words(h.slots)
			}
			h.c.Warnf("holds %s again, after %s without it%s", lock,
				time.Since(begun).Round(100*time.Millisecond), other)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, amqplock.ErrNotAcquired) { // evicted: it kept some of several slots
			return &amqplock.Error{
				Kind: amqplock.ErrLost, Err: err, Text: fmt.Sprintf("lost %s, and %v", lost, err),
			}
		}
		h.c.Stepf("%v; trying again", err)
		select {
		case <-time.After(takeAgainRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ended releases the lock, and returns err, or the loss of the lock and what that meant.
func (h *holding) ended(status runner.Status, err error) error {
	var by *runner.Interrupted
	if errors.As(err, &by) {
		err = &exit.Interrupted{Signal: by.Signal, While: "the command was paused"}
		h.c.Warnf("%v: it was killed", err)
	}
	lock := h.current()
	lock.SetEnding(endingOf(status, err))
	lost := release(lock)
	switch {
	case lost == nil, by != nil, errors.Is(err, amqplock.ErrLost):
	case h.spec.OnLoss != Keep || !held.Of(lock.Context()).CutOff():
		err = lost
	}
	if errors.Is(err, amqplock.ErrLost) {
		err = fmt.Errorf("%w; %s", err, consequence(status))
	}
	return err
}
