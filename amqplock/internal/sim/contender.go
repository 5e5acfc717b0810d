package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// contender is what a process does: it wants the lock, and runs a command under it.
type contender struct {
	*process

	state  sync.Mutex
	wants  string // what it waits for; "" when it does not
	waited bool   // OnWaiting was called
}

// run is the life of the process.
func (q *contender) run() {
	belong(q.awake)
	if !q.sleep(q.Begin) {
		return
	}
	for _, r := range q.Rounds {
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
func (q *contender) round(r Round) bool {
	h, err := q.acquire(r)
	if err != nil {
		return !q.judge(r, err)
	}
	c := q.oracle.begin(q.party, h)
	q.begin(c)
	h = q.work(r, h, c)
	q.end()
	_ = h.Release(context.WithoutCancel(q.ctx))
	return true
}

// work is the time of the command. It returns the lock that it has in the end.
func (q *contender) work(r Round, h *locker.Holder, c *command) *locker.Holder {
	for left := r.Work; ; {
		holder, begun := h, time.Now()
		h.OnRenew(func(_, until time.Duration) {
			if !q.isDead() {
				q.ledger.renewed(q.party, holder.Slots(), until)
			}
		})
		select {
		case <-time.After(q.working(left)):
			return h
		case <-q.ctx.Done():
			return h
		case <-h.Context().Done():
		}
		q.loses(context.Cause(h.Context()))
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

func (q *contender) loses(why error) {
	q.findings.note("%s: %v", q.party, why)
	q.findings.saw("loss noticed")
	if strings.Contains(why.Error(), "running out") {
		q.findings.saw("lease ran out")
	}
}

func (q *contender) acquire(r Round) (*locker.Holder, error) {
	q.oracle.waits(q.party)
	q.state.Lock()
	q.wants, q.waited = fmt.Sprintf("since %s", time.Since(q.clock.start)), false
	q.state.Unlock()
	defer func() {
		q.state.Lock()
		defer q.state.Unlock()
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

// doing is what it waits for; "" when it does not.
func (q *contender) doing() string {
	q.state.Lock()
	defer q.state.Unlock()
	return q.wants
}

// judge looks at an error of Acquire, and reports whether to try again.
func (q *contender) judge(r Round, err error) (again bool) {
	if q.isDead() || q.ctx.Err() != nil {
		return false
	}
	q.state.Lock()
	waited := q.waited
	q.state.Unlock()
	unreachable := errors.Is(err, fault.ErrUnreachable)
	switch {
	case r.Patience != 0 && errors.Is(err, fault.ErrNotAcquired):
		return false
	case r.Patience > 0 && unreachable && !waited: // before it was connected
		return false
	case waited, !unreachable, len(q.plan.Faults) == 0:
		q.findings.violation("%s gives up (waited %t): %v", q.party, waited, err)
	}
	return r.Patience == 0
}

// regain is for how long a paused party tries to take its lock again.
const regain = time.Minute

// config is that of one round.
func (q *contender) config() locker.Config {
	c := locker.Config{
		Broker: wire.Broker{
			Dial: q.dial, Heartbeat: q.plan.Heartbeat, Log: slog.New(logger{q.party, q.findings}),
		},
		Ref: q.plan.Ref, Slots: q.plan.Slots, Count: q.Count, Greedy: q.Greedy,
		Priority: q.Priority, StopTime: q.plan.Stop, Fence: q.Fence,
		Elastic: q.Elastic, History: q.History, OnChange: q.changed,
		OnWaiting: func(waitq.Waiting) {
			q.state.Lock()
			defer q.state.Unlock()
			q.waited = true
		},
	}
	for i := range q.plan.Nodes {
		host := 1 + (i+q.number)%q.plan.Nodes
		c.Broker.URLs = append(c.Broker.URLs, fmt.Sprintf("amqp://n%d", host))
	}
	if q.Pause {
		c.Regain = regain
	}
	if q.Visible {
		c.About = func() presence.About { return presence.About{ID: q.String()} }
	}
	return c.WithClock(q.clock)
}

func (q *contender) changed(slots []int) {
	if c := q.alive(); c != nil {
		q.oracle.changes(c, slots)
	}
}

// logger keeps what a party logs among the notes.
type logger struct {
	party    *party
	findings *findings
}

func (logger) Enabled(context.Context, slog.Level) bool { return true }

func (l logger) Handle(_ context.Context, r slog.Record) error {
	l.findings.note("%s: %s", l.party, r.Message)
	return nil
}

func (l logger) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l logger) WithGroup(string) slog.Handler      { return l }
