package locker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// A cluster that uses Mnesia can grant a lock twice. With Config.Fence both runs notice.
// The earlier one follows the log and stops, and the later one waits for that. Where the
// broker's version cannot grant twice nothing of this happens.

// awaitRivals waits for the runs that may still be alive in our slots. waited says that
// the proof of the grant is older by that. It ends early with the lock connection.
func (c *contender) awaitRivals(ctx context.Context) (waited bool, err error) {
	if c.log.follower == nil {
		return false, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.link.Lock.Ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	lease := 2 * c.link.Lock.Config.Heartbeat
	waited, err = c.log.follower.AwaitRivals(ctx, c.cfg.sign, lease, func(whose string) error {
		c.busy = &fault.Error{
			Kind: fault.ErrBusy, Text: fmt.Sprintf("it was granted twice: %s may have it still", whose),
		}
		if !c.waits {
			return c.busy
		}
		c.cfg.Warnf("%s on %s was granted twice: waiting for the end of %s",
			c.cfg.Describe(c.held.list()), c.link.Lock.Broker, whose)
		return nil
	})
	err = c.whySuperseded(err)
	if cut := c.cutOff("wait for an earlier run under"); cut != nil {
		err = cut
	}
	return waited, err
}

// catchUp is for a grant that is some time old: it may have been granted again since.
func (c *contender) catchUp(ctx context.Context) error {
	if c.log.follower == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	return c.whySuperseded(c.log.follower.CatchUp(ctx))
}

// whySuperseded explains that another has the lock. Other errors stay.
func (c *contender) whySuperseded(err error) error {
	if newer := (*history.SupersededError)(nil); errors.As(err, &newer) {
		c.busy = &fault.Error{Kind: fault.ErrBusy, Text: newer.Error(), Err: newer}
		return c.busy
	}
	return err
}

// following reads the log for a holder, until close. It goes on when the lock is lost:
// the work may still be stopping.
type following struct {
	*keeper
	follower  *history.Follower
	published <-chan *wire.Conn // the newest publish connection
	warned    bool              // that nothing is read

	running sync.WaitGroup
	cancel  context.CancelFunc
}

// follow has k lose the lock when its slot is granted again. It does nothing where nobody
// has to read on.
func follow(k *keeper, log *recorder) *following {
	ctx, cancel := context.WithCancel(context.Background())
	f := &following{keeper: k, follower: log.follower, published: log.published, cancel: cancel}
	if f.follower != nil {
		f.running.Go(func() { f.run(ctx) })
	}
	return f
}

func (f *following) close() {
	f.cancel()
	f.running.Wait()
}

func (f *following) run(ctx context.Context) {
	for ctx.Err() == nil {
		r, err := f.next(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			f.moveOn(ctx, err)
		case r == nil:
		case f.follower.Supersedes(r):
			f.yield(ctx, r)
		}
	}
}

// next returns nil if nothing has come for as long as between two checks. Then the reader
// may be one that gets nothing any more.
func (f *following) next(ctx context.Context) (*history.Record, error) {
	bounded, cancel := context.WithTimeout(ctx, f.cfg.CheckInterval)
	defer cancel()
	r, err := f.follower.Next(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return nil, f.follower.Renew(ctx)
	}
	return r, err
}

// signTime bounds the writing of a sign of life, so that the stop is not late.
const signTime = 100 * time.Millisecond

// yield ends the lock, for a run to which it was granted again. It gives each of these a
// sign of life, also when the lock is lost already.
func (f *following) yield(ctx context.Context, r *history.Record) {
	ctx, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	if err := f.follower.Sign(ctx, 2*f.lease.Heartbeat()); err != nil {
		f.cfg.Debugf("no sign of life: %v", err)
	}
	f.lose(f.String(), fmt.Errorf("it was granted again to a run of %s", r.Writer()))
}

// unread is how long the log may be unreadable before a warning says so.
const unread = 30 * time.Second

// The pauses before the log is read again. The first ends early when there is a new
// publish connection. The last is at most half a heartbeat.
const (
	moveFirst = 100 * time.Millisecond
	moveLast  = 10 * time.Second
)

// moveOn has the log read on, after an error. It tries until ctx ends. A log that cannot
// be read costs nobody the lock. But where it can be written we give signs of life: a
// newcomer that we do not see shall wait. A node that has lost the others for a moment
// may refuse all readers for as long as they have given it up.
func (f *following) moveOn(ctx context.Context, err error) {
	pace := wire.Pace(moveFirst, min(moveLast, f.lease.Heartbeat()/2))
	pause := time.NewTimer(pace.NextBackOff())
	defer pause.Stop()
	begun, conn, tried := time.Now(), f.follower.Conn(), false
	for err != nil {
		if !f.warned && time.Since(begun) > unread {
			f.warned = true
			f.cfg.Warnf("nobody would notice if %s was granted twice: %v", f, err)
		}
		select {
		case conn = <-f.published:
			if tried { // a try may cost the connection
				continue
			}
		case <-pause.C:
			pause.Reset(pace.NextBackOff())
		case <-ctx.Done():
			return
		}
		if !conn.IsClosed() {
			err = f.move(ctx, conn, tried, err)
			tried = true
		}
	}
}

// move tries once. blind says that the log could not be read for a while.
func (f *following) move(ctx context.Context, conn *wire.Conn, blind bool, why error) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.ConnectTimeout)
	defer cancel()
	f.cfg.Debugf("reading the history again: %v", why)
	if blind { // before the connection may end
		if err := f.follower.SignBlind(ctx, conn, 2*f.lease.Heartbeat()); err != nil {
			f.cfg.Debugf("no sign of life: %v", err)
		}
	}
	return f.follower.Move(ctx, conn)
}
