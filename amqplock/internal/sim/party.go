package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// party is a contender: a process with a command.
type party struct {
	*world
	number int
	plan   *Party
	ctx    context.Context // of the process
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	sockets []*broker.Socket
	dead    bool
	command *command
	wants   string // what it waits for; "" when it does not
	waited  bool   // OnWaiting was called
}

func (q *party) String() string {
	if q == nil {
		return "nobody"
	}
	return fmt.Sprintf("party %d", q.number)
}

// plain reports whether it never leaves its place in the wait queue for another.
func (q *party) plain() bool { return !slices.ContainsFunc(q.world.plan.Parties, Party.ranked) }

func (q Party) ranked() bool { return q.Priority != 0 }

func (q *party) doing() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wants
}

var errKilled = errors.New("killed")

// kill ends the process at once. Without notice nobody closes its sockets: the machine
// has crashed.
func (q *party) kill(notice bool) {
	q.mu.Lock()
	q.dead = true
	for _, s := range q.sockets {
		if notice {
			s.Die()
		} else {
			s.Lose()
		}
	}
	command := q.command
	q.mu.Unlock()
	if command != nil {
		q.oracle.end(command)
	}
	q.cancel(errKilled)
}

func (q *party) isDead() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dead
}

// dial opens a connection of this party.
func (q *party) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if q.isDead() {
		return nil, syscall.EHOSTUNREACH
	}
	conn, err := q.broker.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	socket := conn.(*broker.Socket)
	q.oracle.dialed(socket, q)
	q.mu.Lock()
	defer q.mu.Unlock()
	ended := func(s *broker.Socket) bool { return !s.IsOpen() }
	q.sockets = append(slices.DeleteFunc(q.sockets, ended), socket)
	if q.dead {
		socket.Lose()
	}
	return socket, nil
}

// open are the sockets that work.
func (q *party) open() (all []*broker.Socket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.sockets {
		if s.IsOpen() {
			all = append(all, s)
		}
	}
	return all
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

// sleep reports whether the process is alive after it.
func (q *party) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-q.ctx.Done():
		return false
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
