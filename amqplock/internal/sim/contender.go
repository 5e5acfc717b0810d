package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// run is the life of the process.
func (q *party) run() {
	q.belong()
	if !q.sleep(q.plan.Begin) {
		return
	}
	for _, r := range q.plan.Rounds {
		if !q.sleep(r.Think) {
			return
		}
		for !q.round(r) {
			if !q.sleep(time.Second) {
				return
			}
		}
	}
}

// round wants the lock once. It returns false if that is to be tried again.
func (q *party) round(r Round) bool {
	h, err := q.acquire(r)
	if err != nil {
		return !q.judge(r, err)
	}
	c := q.oracle.begin(q, h)
	q.mu.Lock()
	q.command = c
	dead := q.dead
	q.mu.Unlock()
	if dead {
		q.oracle.end(c)
	}
	h = q.work(r, h, c)
	q.mu.Lock()
	q.command = nil
	q.mu.Unlock()
	q.oracle.end(c)
	_ = h.Release(context.WithoutCancel(q.ctx))
	return true
}

// work is the time of the command. It returns the lock that it has in the end.
func (q *party) work(r Round, h *locker.Holder, c *command) *locker.Holder {
	for left := r.Work; ; {
		holder, begun := h, time.Now()
		h.OnRenew(func(_, until time.Duration) {
			if !q.isDead() {
				q.oracle.renewed(q, holder.Slots(), until)
			}
		})
		select {
		case <-time.After(q.working(left)):
			return h
		case <-q.ctx.Done():
			return h
		case <-h.Context().Done():
		}
		q.oracle.loses(q, context.Cause(h.Context()))
		if !h.MayRegain() {
			q.sleep(min(r.Stop, max(h.Until()-q.clock.Now(), 0))) // it is killed when the lease is over
			return h
		}
		left = max(left-time.Since(begun), 1)
		q.oracle.pauses(c)
		next, err := h.Regain(q.ctx)
		q.oracle.resumes(c, err)
		if err != nil {
			return h
		}
		h = next
	}
}

// loses is called when a party learns that it has lost the lock.
func (o *oracle) loses(p *party, why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.note("%s: %v", p, why)
	o.result.Seen["loss noticed"]++
	if strings.Contains(why.Error(), "running out") {
		o.result.Seen["lease ran out"]++
	}
}

func (q *party) acquire(r Round) (*locker.Holder, error) {
	q.oracle.waits(q)
	q.mu.Lock()
	q.wants, q.waited = fmt.Sprintf("since %s", time.Since(q.clock.start)), false
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.wants = ""
	}()
	ctx := q.ctx
	if r.Patience > 0 {
		bounded, cancel := context.WithTimeout(ctx, r.Patience)
		defer cancel()
		ctx = bounded
	}
	if r.Patience < 0 {
		return locker.TryAcquire(ctx, q.config())
	}
	return locker.Acquire(ctx, q.config())
}

func (q *party) doing() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wants
}

// judge looks at an error of Acquire, and reports whether to try again.
func (q *party) judge(r Round, err error) (again bool) {
	if q.isDead() || q.ctx.Err() != nil {
		return false
	}
	q.mu.Lock()
	waited := q.waited
	q.mu.Unlock()
	missing := errors.Is(err, fault.ErrNotFound) && q.world.plan.Slots > 0
	switch {
	case r.Patience != 0 && errors.Is(err, fault.ErrNotAcquired):
		return false
	case r.Patience > 0 && errors.Is(err, fault.ErrUnreachable) && !waited: // before it was connected
		return false
	case waited || !q.plan.mayFail(q.world.plan, err) || missing:
		q.oracle.violation("%s gives up (waited %t): %v", q, waited, err)
	}
	return r.Patience == 0
}

// mayFail reports whether the plan has a reason for such an error of one that does not
// wait yet.
func (*Party) mayFail(p *Plan, err error) bool {
	return errors.Is(err, fault.ErrUnreachable) && len(p.Faults) > 0
}

// regain is for how long a paused party tries to take its lock again.
const regain = time.Minute

// config is that of one round.
func (q *party) config() locker.Config {
	c := locker.Config{
		Broker: wire.Broker{
			Dial: q.dial, Heartbeat: q.world.plan.Heartbeat, Log: slog.New(logger{q}),
		},
		Ref: q.world.plan.Ref, Slots: q.world.plan.Slots, Count: q.plan.Count, Greedy: q.plan.Greedy,
		Priority: q.plan.Priority, StopTime: q.world.plan.Stop, Fence: q.plan.Fence,
		Elastic: q.plan.Elastic, History: q.plan.History, OnChange: q.changed,
		OnWaiting: func(waitq.Waiting) {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.waited = true
		},
	}
	for i := range q.world.plan.Nodes {
		host := 1 + (i+q.number)%q.world.plan.Nodes
		c.Broker.URLs = append(c.Broker.URLs, fmt.Sprintf("amqp://n%d", host))
	}
	if q.plan.Pause {
		c.Regain = regain
	}
	if q.plan.Visible {
		c.About = func() presence.About { return presence.About{ID: q.String()} }
	}
	return c.WithClock(q.clock)
}

// changed is called when the elastic set has changed.
func (q *party) changed(slots []int) {
	q.mu.Lock()
	c := q.command
	q.mu.Unlock()
	if c != nil {
		q.oracle.changes(c, slots)
	}
}

// plain reports whether it never leaves its place in the wait queue for another.
func (q *party) plain() bool { return !slices.ContainsFunc(q.world.plan.Parties, Party.ranked) }

// logger keeps what a party logs among the notes.
type logger struct{ party *party }

func (logger) Enabled(context.Context, slog.Level) bool { return true }

func (l logger) Handle(_ context.Context, r slog.Record) error {
	l.party.oracle.mu.Lock()
	defer l.party.oracle.mu.Unlock()
	l.party.oracle.note("%s: %s", l.party, r.Message)
	return nil
}

func (l logger) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l logger) WithGroup(string) slog.Handler      { return l }
