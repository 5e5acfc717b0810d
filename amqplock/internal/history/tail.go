package history

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Tail stands at the end of a log to give out one token. It is opened while the lock is
// being claimed, so that the token costs one append. Its methods may not be called at the
// same time.
type Tail struct {
	reader
	clock  clock
	beacon *beacon
	back   int64 // how far reread has gone back

	followed bool // the reader and the beacon belong to others now

	stop   context.CancelFunc // ends warm
	warmed chan struct{}      // closed when warm has ended
	err    error              // of Open, then of warm
}

// Open stands at the end of the log. Where there is none yet, Grant makes it: there may
// be no such lock. Close has to be called in the end.
//
// A goroutine reads the records that are in the log, until Grant.
func (l *Log) Open(ctx context.Context) (*Tail, error) {
	stopped, stop := context.WithCancel(ctx)
	t := &Tail{
		reader: reader{log: l.on(l.conn)}, beacon: newBeacon(l.follows), back: 1,
		stop: stop, warmed: make(chan struct{}),
	}
	noAlarm, cancel := untilAlarm(ctx, l.conn)
	defer cancel()
	both, bothCtx := errgroup.WithContext(noAlarm)
	both.Go(func() error {
		err := errGone // perhaps; to ask could end the connection, and Grant finds the log too
		if !t.log.isFragile() {
			err = t.attach(bothCtx, -1, t.log.find)
		}
		if err == nil {
			go t.warm(ctx, stopped)
			return nil
		}
		t.err = err
		close(t.warmed)
		if isGone(err) {
			return nil
		}
		return err
	})
	both.Go(func() (err error) {
		if err = t.beacon.light(bothCtx, l.conn); err == nil {
			t.clock, err = askClock(bothCtx, t.beacon)
		}
		if err != nil {
			err = l.explain("learn the broker's time for", err)
		}
		return err
	})
	if err := both.Wait(); err != nil {
		t.Close()
		return nil, l.explain("read", err)
	}
	return t, nil
}

// stand tries for standTime, with pauses: somebody may be deleting the log, or just
// making it. RabbitMQ lists a stream first and starts its replica then, and refuses
// readers in between. A node that is to have no replica at all answers in the same way.
const (
	standTime  = 5 * time.Second
	firstPause = 5 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// stand makes the log if need be, and begins to read at its last chunk.
func (t *Tail) stand(ctx context.Context) error {
	begun := time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := t.attach(ctx, -1, t.log.declare)
		if !isGone(err) || time.Since(begun) > standTime {
			return err
		}
		if wire.Pause(ctx, pause) != nil {
			return err
		}
	}
}

// Check reports why Grant would get no token at this node. It makes the log if need be.
func (l *Log) Check(ctx context.Context) error {
	t, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	t.stop()
	<-t.warmed
	if err = t.err; isGone(err) {
		err = t.stand(ctx)
	}
	return l.explain("write to", err)
}

// Close ends what Open has begun.
func (t *Tail) Close() {
	t.stop()
	<-t.warmed
	if !t.followed {
		t.detach()
		t.beacon.dim()
	}
}

// warm reads what is in the log, so that Grant does not have to. It ends when it knows
// enough, or is stopped, which is how it ends at an empty log.
func (t *Tail) warm(ctx, stopped context.Context) {
	defer close(t.warmed)
	for !t.known.complete() {
		_, _, err := t.read(stopped)
		if stopped.Err() != nil && errors.Is(err, context.Cause(stopped)) {
			return
		}
		if err == nil && !t.known.complete() {
			err = t.reread(ctx) // not stopped: Grant reads where this begins
		}
		if err != nil {
			t.err = err
			return
		}
	}
}

// farther is by how much more reread goes back each time. A run that is not fenced writes
// two records that vouch for nothing. The broker takes some 0.1 ms to send a record.
const farther = 8

// reread begins to read where nothing is missing, as far as it knows.
func (t *Tail) reread(ctx context.Context) error {
	if t.back < maxBytes { // no log has more records
		t.back *= farther
	}
	met := max(t.known.met, t.known.to)
	err := t.attach(ctx, t.known.start(t.back), t.log.find)
	t.known.met = met
	return err
}

// Log appends on the channel of the tail, so behind the records of Grant, until Close.
// It may be used when Grant has returned.
func (t *Tail) Log() *Log { return t.log }

// Grant appends a grant, made at the broker's time. It returns the grant when that is in
// the log for good: with its token, and with the mark for its end. It may append several
// records with this ID; the last one counts. A grant with a token that comes with an
// error may be in the log, or come into it.
//
// It calls isCut before each, and returns its error. The grant of a run that is cut off
// may stop the run that has the lock by then.
func (t *Tail) Grant(ctx context.Context, r Record, isCut func() error) (Record, error) {
	ctx, cancel := untilAlarm(ctx, t.log.conn)
	defer cancel()
	t.stop()
	<-t.warmed
	r.Type = TypeGrant
	if t.beacon.lasting {
		r.Beacon = t.beacon.name
	}
	valid, err := false, t.err
	for deleted := 0; ; {
		if err == nil {
			err = isCut()
		}
		if err == nil {
			valid, err = t.try(ctx, &r)
		}
		switch {
		case err == nil && valid:
			r.Read = t.known.mark()
			return r, nil
		case err == nil: // others came between
			continue
		case !isGone(err) || deleted == maxDeleted:
			return r, t.log.explain("write to", err)
		}
		deleted++ // or there was no log
		if err = t.stand(ctx); err != nil {
			return r, t.log.explain("write to", err)
		}
	}
}

// maxDeleted bounds how often a log may be deleted before Grant gives up.
const maxDeleted = 5

// try appends a grant, and reports whether it is valid: others may have come between.
func (t *Tail) try(ctx context.Context, r *Record) (valid bool, err error) {
	now := t.clock.now(t.log.now())
	if r.Token, err = t.known.next(now); err != nil {
		return false, err
	}
	r.At, r.Read = time.UnixMilli(now).UTC(), t.known.mark()
	mine := rand.Text()
	if err := t.publish(ctx, mine, *r); err != nil {
		return false, err
	}
	for {
		before := t.known
		_, id, err := t.read(ctx)
		switch {
		case err != nil:
			return false, err
		case id != mine:
		case !before.complete() && (before.any || !t.known.whole):
			if err := t.reread(ctx); err != nil {
				return false, err
			}
		default:
			t.known.met = 0
			return t.known.valid(before, r.Token, now), nil
		}
	}
}
