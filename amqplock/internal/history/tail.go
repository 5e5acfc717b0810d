package history

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Tail stands at the end of a log to give out one token. It is opened while the lock is
// being claimed, so that the token costs one append. Its methods may not be called at the
// same time.
type Tail struct {
	log   *Log
	clock clock
	known known
	begin int64 // where reading began; -1 at the last chunk

	channel  *wire.Channel
	messages <-chan amqp.Delivery

	stop   context.CancelFunc // ends warm
	warmed chan struct{}      // closed when warm has ended
	err    error              // of Open, then of warm
}

// Open stands at the end of the log. Where there is none yet, Grant makes it: there may
// be no such lock. Close has to be called in the end.
//
// A goroutine reads the records that are in the log, until Grant.
func (l *Log) Open(ctx context.Context) (*Tail, error) {
	t := &Tail{log: l, warmed: make(chan struct{})}
	noAlarm, cancel := untilAlarm(ctx, l.conn)
	defer cancel()
	both, bothCtx := errgroup.WithContext(noAlarm)
	both.Go(func() error {
		if t.err = t.attach(bothCtx, -1, l.find); isGone(t.err) {
			return nil
		}
		return t.err
	})
	both.Go(func() (err error) {
		t.clock, err = askClock(bothCtx, l.conn)
		if err != nil {
			err = l.explain("learn the broker's time for", err)
		}
		return err
	})
	if err := both.Wait(); err != nil {
		t.detach()
		return nil, l.explain("read", err)
	}
	stopped, stop := context.WithCancel(ctx)
	t.stop = stop
	if t.err == nil {
		go t.warm(ctx, stopped)
	} else {
		close(t.warmed)
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
		if err == nil {
			err = t.attached(ctx)
		}
		if !isGone(err) || time.Since(begun) > standTime {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// prefetch bounds what the broker sends ahead of our acknowledgements.
const prefetch = 512

// attach begins to read at an offset, or with -1 at the last chunk. find proves that
// there is a log.
//
// The broker handles the requests of a channel in their order. So a record that is
// published on this one comes behind the place at which it began to read.
func (t *Tail) attach(
	ctx context.Context, offset int64, find func(*wire.Channel) error,
) error {
	t.detach()
	channel, err := open(ctx, t.log.conn)
	if err != nil {
		return err
	}
	t.channel, t.known, t.begin = channel, newKnown(), offset
	t.messages, err = wire.CallOn(ctx, channel, func() (<-chan amqp.Delivery, error) {
		if err := channel.Qos(prefetch, 0, false); err != nil {
			return nil, err
		}
		if err := find(channel); err != nil {
			return nil, err
		}
		return channel.Consume(t.log.queue, "", false, false, false, true, from(offset))
	})
	return err
}

// attached waits until the broker has begun to send: attach does not. The answer to a
// later request on the channel comes behind a refusal.
func (t *Tail) attached(ctx context.Context) error {
	return t.channel.Call(ctx, func() error { return t.channel.Qos(prefetch, 0, false) })
}

// from are the arguments of a consumer that begins at an offset, or with -1 at the last
// chunk.
func from(offset int64) amqp.Table {
	if offset < 0 {
		return amqp.Table{"x-stream-offset": "last"}
	}
	return amqp.Table{"x-stream-offset": offset}
}

func (t *Tail) detach() {
	if t.channel != nil {
		t.channel.CloseLater()
		t.channel = nil
	}
}

// Close ends what Open has begun.
func (t *Tail) Close() {
	t.stop()
	<-t.warmed
	t.detach()
}

// warm reads what is in the log, so that Grant does not have to. It ends when it knows
// enough, or is stopped, which is how it ends at an empty log.
func (t *Tail) warm(ctx, stopped context.Context) {
	defer close(t.warmed)
	for !t.known.complete() {
		_, err := t.read(stopped)
		if stopped.Err() != nil && errors.Is(err, context.Cause(stopped)) {
			return
		}
		if err == nil && !t.known.complete() {
			err = t.attach(ctx, t.known.start(), t.log.find) // not stopped: Grant reads where this begins
		}
		if err != nil {
			t.err = err
			return
		}
	}
}

// read takes in one record.
func (t *Tail) read(ctx context.Context) (amqp.Delivery, error) {
	message, err := receive(ctx, t.channel, t.messages)
	if err != nil {
		return message, err
	}
	offset, err := offsetOf(message)
	if err != nil {
		return message, err
	}
	r, _ := decode(message.Body)
	t.known.add(offset, r)
	if t.begin >= 0 && t.known.from > t.begin {
		t.known.whole = true // the broker has deleted what was before
	}
	return message, t.channel.Reason(message.Ack(false))
}

// Grant appends a grant, made at the broker's time. It returns the grant when that is in
// the log for good: with its token, and with the mark for its end. It may append several
// records with this ID; the last one counts.
func (t *Tail) Grant(ctx context.Context, r Record) (Record, error) {
	ctx, cancel := untilAlarm(ctx, t.log.conn)
	defer cancel()
	t.stop()
	<-t.warmed
	r.Type = TypeGrant
	valid, err := false, t.err
	for deleted := 0; ; {
		if err == nil {
			valid, err = t.try(ctx, &r)
		}
		switch {
		case err == nil && valid:
			r.Read = &Mark{Offset: t.known.to, Token: r.Token}
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
		message, err := t.read(ctx)
		switch {
		case err != nil:
			return false, err
		case message.MessageId != mine:
		case !before.complete() && (before.any || !t.known.whole):
			if err := t.attach(ctx, t.known.start(), t.log.find); err != nil {
				return false, err
			}
		default:
			return t.known.valid(before, r.Token, now), nil
		}
	}
}

func (t *Tail) publish(ctx context.Context, id string, r Record) error {
	body, err := r.encode()
	if err != nil {
		return err
	}
	if t.log.conn.Blocked() {
		return errAlarm
	}
	channel := t.channel
	return channel.Call(ctx, func() error {
		return channel.Publish("", t.log.queue, false, false, amqp.Publishing{
			ContentType: "application/json", DeliveryMode: amqp.Persistent, MessageId: id, Body: body,
		})
	})
}

// offsetOf is the place of a message in the stream.
func offsetOf(message amqp.Delivery) (int64, error) {
	offset, ok := message.Headers["x-stream-offset"].(int64)
	if !ok || offset < 0 {
		return 0, errNoStream
	}
	return offset, nil
}
