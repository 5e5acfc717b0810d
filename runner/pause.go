package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/internal/sys"
)

// pauser stops the tree by SIGSTOP while the lock is lost.
type pauser struct{ *family }

// Interrupted says that a signal to end came while the command was paused. The command
// was killed: without the lock it may not even act on the signal.
type Interrupted struct{ Signal syscall.Signal }

func (i *Interrupted) Error() string {
	return fmt.Sprintf("%s while the command was paused", unix.SignalName(i.Signal))
}

// freezeEvery is between two looks for processes of a paused tree that run: somebody may
// have started or continued one.
const freezeEvery = time.Second

// pause is called when ctx has ended. It returns the context under which the command goes
// on, or why it must not: then lost kills what is still stopped.
func (r *pauser) pause(ctx context.Context) (context.Context, error) {
	lost := context.Cause(ctx)
	if r.c.Pause == nil || !r.c.Pause.Possible(lost) {
		return nil, lost
	}
	begun := sys.Boottime()
	suspended := r.verified != nil // by Ctrl-Z
	r.verified = nil
	if !r.freeze() {
		r.warnf("a part of the command cannot be stopped by SIGSTOP, so it is not paused")
		return nil, lost
	}
	owner, settings := r.terminal.borrow(func(group int) bool {
		return group == r.leader.pid || r.frozen.has(group) // Ctrl-Z may have stopped the former
	})
	next, err := r.untilHeld(lost)
	took := sys.Boottime() - begun
	r.status.Paused += took
	if err != nil {
		return nil, err
	}
	r.terminal.lend(owner, settings)
	r.frozen.thaw()
	r.frozen = nil
	if suspended {
		r.resume()
	}
	r.warnf("the command goes on; it was paused for %v", took.Round(100*time.Millisecond))
	return next, nil
}

// untilHeld regains the lock, and again if it is lost before the command goes on. The
// guard does not act on the end of a lease meanwhile. It acts on that of the new lock
// before the first process goes on.
func (r *pauser) untilHeld(lost error) (context.Context, error) {
	for {
		r.c.Guard.pausing(true)
		r.startGuard() // the command may be too young to have one
		next, err := r.regain(lost)
		if err != nil {
			return nil, err
		}
		r.c.Guard.pausing(false)
		r.startGuard()
		if next.Err() == nil && !r.leaseIsOver() {
			return next, nil
		}
		awaitLoss(next)
		if next.Err() == nil {
			return nil, errLeaseOver
		}
		if lost = context.Cause(next); !r.c.Pause.Possible(lost) {
			return nil, lost
		}
	}
}

var errLeaseOver = errors.New("the lease of the lock was over before the command went on")

// lossTime bounds awaitLoss. On a busy machine what ends the context may wait a second
// for a processor.
const lossTime = 3 * time.Second

// awaitLoss waits for the end of ctx when the lock must be lost. What ends it has only
// just woken up too.
func awaitLoss(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(lossTime):
	}
}

// regain calls Regain, and serves what happens meanwhile.
func (r *pauser) regain(lost error) (context.Context, error) {
	type answer struct {
		ctx context.Context
		err error
	}
	ctx, cancel := context.WithCancel(context.Background())
	regained := make(chan answer, 1)
	go func() {
		next, err := r.c.Pause.Regain(ctx)
		regained <- answer{next, err}
	}()
	stop := func(err error) (context.Context, error) {
		cancel()
		<-regained
		return nil, err
	}
	tick := time.NewTicker(freezeEvery)
	defer tick.Stop()
	// With Wait a leader that has ended just before, unseen, leaves a tree to go on.
	goesOn := r.leader.ended || r.c.Orphans == Wait
	for {
		if r.look(ctx); r.leader.ended && !goesOn {
			return stop(lost)
		}
		r.reap()
		select {
		case a := <-regained:
			cancel()
			return a.ctx, a.err
		case <-r.children:
		case <-tick.C:
			if !r.freeze() {
				return stop(lost)
			}
		case <-r.guardDue:
			r.startGuard()
		case s := <-r.signals:
			if r.signalPaused(s) {
				return stop(&Interrupted{s.(syscall.Signal)})
			}
		}
	}
}

// signalPaused passes s on, to be acted on when the command goes on. It reports whether s
// asks for the end.
func (r *pauser) signalPaused(s os.Signal) (end bool) {
	sig, ok := s.(syscall.Signal)
	switch {
	case !ok:
	case sig == syscall.SIGINT || sig == syscall.SIGQUIT || sig == syscall.SIGTERM:
		return true
	case sig == syscall.SIGTSTP: // the terminal has stopped the rest of our group
		if Resumable() {
			r.warnf("stopped; the lock is not taken again unless resumed")
			Suspend(sig, false)
			r.resumed = true
		}
	case sig == syscall.SIGCONT:
		r.resumed = false
	case sig != syscall.SIGPIPE:
		r.leader.signalGroup(sig)
	}
	return false
}
