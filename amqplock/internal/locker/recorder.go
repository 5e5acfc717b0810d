package locker

import (
	"cmp"
	"context"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Ending is how the work under a lock has ended. amqplock.Ending documents it.
type Ending struct {
	Result string
	Status *int
	Signal string
}

// recorder writes the history of one run: its grant and its end. It does nothing unless
// Config.History is set. One goroutine at a time uses it.
type recorder struct {
	logWriter
	grant   history.Record
	granted time.Duration // on the clock of cfg
	token   int64         // of the first grant, 0 without Config.Fence

	follower  *history.Follower // behind the grant; nil if nobody needs one
	published chan *wire.Conn   // the newest publish connection, for the follower

	written bool // the grant is in the log; before withdraw it may be on its way
	lost    bool // the end in the log says so
}

// begin notes what the grant will say of the run. An earlier grant may still be on its
// way into the log, so its time and slots stay until holds.
func (r *recorder) begin() {
	about := presence.About{}
	if r.cfg.About != nil {
		about = r.cfg.About()
	}
	r.grant = history.Record{
		Type: history.TypeGrant, Kind: r.cfg.Kind,
		ID: cmp.Or(about.ID, r.cfg.runID), Host: about.Host, PID: about.PID,
		User: about.User, Command: about.Command, Job: about.Job, Metadata: about.Metadata,
		Regain: r.cfg.Regain.Seconds(), At: r.grant.At, Slots: r.grant.Slots,
	}
}

// holds notes the grant of these slots now.
func (r *recorder) holds(slots []int) {
	r.granted, r.grant.At = r.cfg.clock.Now(), time.Now().UTC()
	if r.cfg.Kind == wire.Semaphore {
		r.grant.Slots = slots
	}
}

// record writes the grant, best effort, unless it is in the log.
func (r *recorder) record(ctx context.Context, link *wire.Link) {
	if !r.cfg.History || r.written {
		return
	}
	err := r.append(ctx, link, r.grant)
	r.written = err == nil
	r.report(err)
}

// prepare writes the grant, or if that is in the log makes the end fast.
func (r *recorder) prepare(ctx context.Context, link *wire.Link) {
	if r.follower != nil { // which uses the log, and has it open
		return
	}
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	if r.written && r.reach(ctx, link) == nil {
		_ = r.log.Prepare(ctx)
	}
	r.record(ctx, link)
}

// end writes the end, and before it the grant if that is not in the log yet, best effort.
// It tries for longer if other runs rely on the end: those that would repeat a run that
// has succeeded, or leave the lock alone.
func (r *recorder) end(ctx context.Context, link *wire.Link, ending Ending, lost bool) {
	if !r.cfg.History || r.lost {
		return
	}
	r.record(ctx, link)
	if !r.written {
		return
	}
	r.lost = lost
	record := r.endOf(ending, lost)
	if r.follower != nil {
		record.Read = r.follower.Mark() // the newest, and none if the log was deleted
		r.follower.Dim()
	}
	needed := r.cfg.Once > 0 && !lost || r.cfg.Regain > 0
	if !needed {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, recordTime)
		defer cancel()
	}
	err := r.append(ctx, link, record)
	for begun := time.Now(); err != nil && time.Since(begun) < neededTime; {
		again := needed || !lost && wire.Temporary(err) // a broker that has cut us off stays away
		if !again || wire.Pause(ctx, retryPause) != nil {
			break
		}
		err = r.append(ctx, link, record)
	}
	r.report(err)
}

// neededTime is for how long an end is tried again that others rely on.
const neededTime = 3 * time.Second

// withdrawTime bounds withdraw: Acquire promises to end soon after its context.
const withdrawTime = time.Second

// withdraw ends a grant under which nothing has started, best effort, if there is one.
func (r *recorder) withdraw(ctx context.Context, link *wire.Link) {
	if !r.written {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	end := r.endOf(Ending{Result: history.ResultWithdrawn}, false)
	if err := r.append(ctx, link, end); err != nil {
		r.cfg.Debugf("the next run may wait for a sign of life of this one: %v", err)
	}
	r.forget()
}

// forget is for a grant that has ended before anything started.
func (r *recorder) forget() {
	if r.follower != nil {
		r.follower.Close()
	}
	r.written, r.follower = false, nil
}

// publishes hands a new publish connection to the follower. The calls do not overlap.
func (r *recorder) publishes(c *wire.Conn) {
	select {
	case <-r.published:
	default:
	}
	r.published <- c
}

func (r *recorder) endOf(ending Ending, lost bool) history.Record {
	held := max(r.cfg.clock.Now()-r.granted, 0)
	e := history.Record{
		Type: history.TypeEnd, Kind: r.cfg.Kind, ID: r.grant.ID, Token: r.token, Read: r.grant.Read,
		At: r.grant.At.Add(held), Seconds: held.Round(time.Microsecond).Seconds(),
		Result: ending.Result, Status: ending.Status, Signal: ending.Signal,
		Host: r.grant.Host, User: r.grant.User,
	}
	switch {
	case lost:
		e.Result = history.ResultLost
	case e.Result == "":
		e.Result = history.ResultReleased
	}
	return e
}
