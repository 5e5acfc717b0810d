package history

import (
	"context"
	"crypto/rand"
	"errors"
	"time"
)

// SignTime is how long a newcomer waits for a sign of life. A holder that is alive gives
// it within milliseconds, unless the nodes of its cluster have just lost each other. It
// is long enough for a busy machine, and a crash costs it.
const SignTime = 500 * time.Millisecond

// mostSeconds bounds for how long a record, which anybody may have written, makes others
// wait. It is the hour of locker.MaxRegain.
const mostSeconds = 3600

// AwaitRivals blocks until no earlier run can be alive in our slots, as far as the log
// says. waited says that it had to wait, so that the lock is to be proven again. It calls
// alive for each run that is alive, or may be; an error of that ends the wait.
//
// It waits for the ends of those that give a sign of life, or until the time is over that
// they have named. It waits for the time sign for those that do not, and for up to
// patience if their beacons are not dark. The error is a *SupersededError if our slot is
// granted again meanwhile.
func (f *Follower) AwaitRivals(
	ctx context.Context, sign, patience time.Duration, alive func(whose string) error,
) (waited bool, err error) {
	w := newRivalry(f.known.open.rivals(&f.own), time.Now(), sign)
	for ; len(w) > 0; waited = true {
		whose, err := f.awaitRival(ctx, w, patience)
		if err == nil && whose != "" {
			err = alive(whose)
		}
		if err != nil {
			return true, err
		}
	}
	return waited, nil
}

// awaitRival waits for a record, or a moment. It returns whose run is alive if that is
// new.
func (f *Follower) awaitRival(
	ctx context.Context, w rivalry, patience time.Duration,
) (whose string, err error) {
	moment, cancel := context.WithDeadline(ctx, w.next(time.Now()))
	defer cancel()
	r, err := f.Next(moment)
	switch {
	case err != nil && moment.Err() != nil && ctx.Err() == nil:
		dark := func(beacon string) bool { return isDark(ctx, f.log.conn, beacon) }
		if w.expire(time.Now(), patience, dark) {
			whose = "a run that does not answer"
		}
		return whose, f.Renew(ctx)
	case err != nil:
		return "", err
	case f.Supersedes(r):
		return "", &SupersededError{By: *r}
	case w.heed(r, time.Now()):
		whose = "a run of " + r.Writer()
	}
	return whose, nil
}

// CatchUp reads up to the end that the log has when it is called. The error is a
// *SupersededError if our slot is granted again there. A run that had to wait has read
// the ends of others, and perhaps not what is behind them.
func (f *Follower) CatchUp(ctx context.Context) error {
	mine := rand.Text()
	if err := f.publish(ctx, mine, f.life(0)); err != nil {
		return f.log.explain("write to", err)
	}
	for silence := SignTime; ; {
		moment, cancel := context.WithTimeout(ctx, silence)
		e, id, err := f.read(moment)
		cancel()
		switch r := e.record; {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			// The reader may be one that gets nothing any more. A new one may need seconds before
			// the first record, while the cluster misses a node.
			silence *= 2
			err = f.Renew(ctx)
		case err != nil:
			err = f.log.explain("read", err)
		case id == mine:
			return nil
		case r != nil && r.Kind == f.own.Kind && f.Supersedes(r):
			return &SupersededError{By: *r}
		}
		if err != nil {
			return err
		}
	}
}

// SupersededError says that a slot of ours was granted again.
type SupersededError struct{ By Record }

func (e *SupersededError) Error() string { return "it was granted again to " + e.By.Writer() }

// rivalry is the runs that may be alive in the slots of a newcomer, by ID.
type rivalry map[string]*rival

// rival is one of them.
type rival struct {
	beacon string
	until  time.Time // the newcomer waits if it reads nothing more of that run
	alive  bool      // it has given a sign of life
	looked bool      // its beacon was not dark
}

func newRivalry(list []OpenGrant, now time.Time, sign time.Duration) rivalry {
	w := rivalry{}
	for _, one := range list {
		w[one.ID] = &rival{beacon: one.Beacon, until: now.Add(sign)}
	}
	return w
}

// next is when to look again if nothing more is read.
func (w rivalry) next(now time.Time) time.Time {
	first := now.Add(SignTime)
	for _, r := range w {
		if r.until.Before(first) {
			first = r.until
		}
	}
	return first
}

// expire ends the wait for those whose time is over. It looks at the beacons of those
// that gave no sign of life, and waits for patience if one is not dark. It reports
// whether that is so for any.
func (w rivalry) expire(
	now time.Time, patience time.Duration, dark func(beacon string) bool,
) (doubtful bool) {
	for id, r := range w {
		switch {
		case r.until.After(now):
		case r.alive, r.looked, r.beacon == "", dark(r.beacon):
			delete(w, id)
		default:
			r.looked, doubtful = true, true
			r.until = now.Add(patience)
		}
	}
	return doubtful
}

// heed takes in a record. It reports whether that is the first sign of life of a rival.
func (w rivalry) heed(record *Record, now time.Time) (first bool) {
	r := w[record.ID]
	switch {
	case r == nil:
	case record.Type == TypeEnd:
		delete(w, record.ID)
	case record.Type == TypeAlive:
		named := time.Duration(min(record.Seconds, mostSeconds) * float64(time.Second))
		r.until = now.Add(max(named, SignTime))
		first, r.alive = !r.alive, true
	}
	return first
}
