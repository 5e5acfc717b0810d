package amqplock

import (
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
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
