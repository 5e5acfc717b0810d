package amqplock

import (
	"context"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Run is what the history says of one run: from a grant of the lock to its release. All
// of it is the run's own claim.
type Run struct {
	Token int64 `json:"token,omitempty"` // the fencing token, of a run with WithFence
	Slots []int `json:"slots,omitempty"` // of a semaphore
	About
	Granted time.Time `json:"granted"`           // by the run's clock, if fenced by the broker's
	Ended   time.Time `json:"ended,omitzero"`    // zero if no end is recorded
	Seconds float64   `json:"seconds,omitempty"` // from the grant to the end

	Result string `json:"result"`           // ResultRunning, ResultUnknown, or that of Ending
	Status *int   `json:"status,omitempty"` // exit status of the command, if it exited
	Signal string `json:"signal,omitempty"` // the one that killed the command, such as SIGTERM
}

// The results that this package gives itself. Others come from Lock.SetEnding.
const (
	ResultReleased  = "released"  // the lock was released, and SetEnding has said nothing
	ResultLost      = "lost"      // the lock was lost
	ResultSkipped   = "skipped"   // WithOnce has found that another run had succeeded
	ResultWithdrawn = "withdrawn" // Acquire has given up behind the grant
	ResultRunning   = "running"   // no end is recorded, and the run holds the lock
	ResultUnknown   = "unknown"   // no end is recorded, and no holder answers under this ID
)

// Ending is how the work under a lock has ended, for its history.
type Ending struct {
	Result string // a word; empty means ResultReleased
	Status *int   // exit status of the command, if it exited
	Signal string // that killed the command, such as SIGTERM
}

// WithHistory records the grant and the end of the lock in its history, with what
// WithAbout says; without that, under a random ID. It is best effort: a record that
// cannot be written is logged as a warning, takes at most a second, and never costs the
// lock. The first record makes the history.
func WithHistory() Option { return func(r *request) { r.History = true } }

// WithFence is WithHistory, and makes Lock.Token: a number that is larger with each grant
// of this lock. The grant is in the history before Acquire returns, or Acquire fails.
// Without a permission the error matches ErrAccess. Where a queue is in the way, or the
// broker has no streams, it matches ErrNotALock. In an alarm of the broker a waiter
// waits, and TryAcquire returns ErrUnreachable. It excludes WithElastic.
//
// A cluster of RabbitMQ before 4.3 may grant a lock twice. There the lock is lost when
// the history has a newer grant of one of its slots. Acquire waits half a second for an
// earlier run that has left no end. If that run is alive, Acquire waits for its end. Two
// runs with the same WithAbout ID count as one.
func WithFence() Option { return func(r *request) { r.Fence = true } }

// WithOnce is WithFence. Acquire fails with ErrNotAcquired if a run under this mutex
// ended within period: the history has it with the result "ended" and status 0. The error
// says when, and where. Runs that failed, or left no end, do not count. The time is
// the broker's, as far as the other run was fenced. It excludes semaphores.
func WithOnce(period time.Duration) Option { return func(r *request) { r.Once = period } }

// History reads the last n runs of a lock from its history, those first that began first.
// Whether a run without an end holds the lock is asked as Inspect does. The error matches
// ErrNotFound where the lock has no history, and ErrNotALock where it cannot have one.
func (c *Client) History(ctx context.Context, lock Ref, n int) ([]Run, error) {
	runs, err := locker.History(ctx, c.broker, wire.Ref(lock), n)
	if err != nil {
		return nil, exported(ctx, err)
	}
	list := make([]Run, len(runs))
	for i, run := range runs {
		list[i] = newRun(run)
	}
	return list, nil
}

// FollowHistory calls f with the last n runs, as History returns them, and then with each
// run when it begins (ResultRunning) and when it ends. It returns nil when ctx has ended,
// and an error when the connection has. The calls do not overlap.
func (c *Client) FollowHistory(ctx context.Context, lock Ref, n int, f func(Run)) error {
	err := locker.Follow(ctx, c.broker, wire.Ref(lock), n, func(run locker.Run) { f(newRun(run)) })
	return exported(ctx, err)
}

func newRun(run locker.Run) Run {
	r := Run{Granted: run.Began(), Result: ResultUnknown}
	if g := run.Grant; g != nil {
		r.Token, r.Slots = g.Token, g.Slots
		r.About = About{
			ID: g.ID, Host: g.Host, PID: g.PID, User: g.User, Command: g.Command, Job: g.Job,
			Metadata: g.Metadata,
		}
	}
	if run.Running {
		r.Result = ResultRunning
	}
	if e := run.End; e != nil {
		r.ID, r.Token, r.Ended, r.Seconds = e.ID, e.Token, e.At, e.Seconds
		r.Result, r.Status, r.Signal = e.Result, e.Status, e.Signal
	}
	return r
}
