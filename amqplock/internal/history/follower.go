package history

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// A cluster that uses Mnesia can grant an exclusive queue twice, and no check of a holder
// notices. The log does: both grants are in it. So a holder follows the log, and a
// newcomer waits for the runs that may still be alive in its slots.

// Follower reads a log on behind the grant of its own run. Its methods may not be called
// at the same time.
type Follower struct {
	reader
	own    Record
	beacon *beacon
	renews int
}

// Follow makes a follower of a tail that has given out own, and a log that appends on the
// channel of the tail. From then on only these are used. The follower is nil where the
// broker grants nothing twice.
func (t *Tail) Follow(own Record) (*Follower, *Log) {
	t.followed = true
	if !t.log.follows {
		t.leave()
		t.beacon.dim()
		return nil, t.log
	}
	return &Follower{reader: t.reader, own: own, beacon: t.beacon}, t.log
}

// Close ends the reading.
func (f *Follower) Close() {
	f.detach()
	f.beacon.dim()
}

// Dim takes the beacon away: the work has ended.
func (f *Follower) Dim() { f.beacon.dim() }

// renewTime bounds Renew. While packets to a node vanish, RabbitMQ answers after 7 s
// (net_setuptime), at other nodes too.
const renewTime = 15 * time.Second

// Renew has the broker begin to send anew, behind the record that was read last. When the
// nodes of a cluster have lost each other a reader may get nothing any more, for ever and
// without an error. A new one does. Renew waits for the broker's answer: what is asked on
// the channel meanwhile would come late.
func (f *Follower) Renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	f.renews++
	tag := fmt.Sprint(consumer, f.renews)
	channel, queue := f.log.writer.channel, f.log.queue // for a late call
	old, begin := f.tag, consumerArgs(f.known.to+1)
	messages, err := wire.CallOn(ctx, channel, func() (<-chan amqp.Delivery, error) {
		messages, err := channel.Consume(queue, tag, false, false, false, false, begin)
		if err != nil {
			return nil, err
		}
		return messages, channel.Cancel(old, true)
	})
	if err != nil { // the old messages end, and say why
		return f.log.explain("read", err)
	}
	f.messages, f.tag = messages, tag
	return nil
}

// Next blocks until there is a record of this lock by another run, until ctx ends, or
// until the log cannot be read on. Then Move may help.
func (f *Follower) Next(ctx context.Context) (*Record, error) {
	for {
		e, _, err := f.read(ctx)
		if err != nil {
			return nil, f.log.explain("read", err)
		}
		if r := e.record; r != nil && r.Kind == f.own.Kind && r.ID != f.own.ID {
			return r, nil
		}
	}
}

// Supersedes reports whether a record grants another run a slot of ours, behind our
// grant. Only fenced grants count. Others may be written at any time, also by a run that
// had lost the lock before we got it.
func (f *Follower) Supersedes(r *Record) bool {
	return r.Token > f.own.Token && r.rivals(&f.own)
}

// Sign appends a sign of life: we may go on for up to that time. It does not wait for the
// broker's answer.
func (f *Follower) Sign(ctx context.Context, upTo time.Duration) error {
	return f.log.explain("write to", f.publish(ctx, "", f.life(upTo)))
}

// SignBlind is Sign for a follower that cannot read, on any publish connection.
func (f *Follower) SignBlind(ctx context.Context, conn *wire.Conn, upTo time.Duration) error {
	log := f.log.on(conn)
	defer log.close()
	return log.Append(ctx, f.life(upTo))
}

func (f *Follower) life(upTo time.Duration) Record {
	return Record{
		Type: TypeAlive, Kind: f.own.Kind, ID: f.own.ID, At: time.Now().UTC(),
		Host: f.own.Host, User: f.own.User, Seconds: upTo.Seconds(),
	}
}

// Mark is for a record that is written now. It is nil if the follower does not know
// enough of the log.
func (f *Follower) Mark() *Mark { return f.known.mark() }

// Offset is how far it has read.
func (f *Follower) Offset() int64 { return f.known.to }

// Conn is the publish connection that it reads on.
func (f *Follower) Conn() *wire.Conn { return f.log.conn }

// sameTime is how long the record that was read last may take to come again. It is there,
// unless the log is another one.
const sameTime = time.Second

// Move reads on where the follower was, on another publish connection, or once more on
// the same. It begins at the record that was read last. If that does not come the log was
// deleted, and the follower reads the new one from its beginning.
func (f *Follower) Move(ctx context.Context, conn *wire.Conn) error {
	f.detach()
	f.log = f.log.on(conn)
	if err := f.beacon.light(ctx, conn); err != nil {
		return f.log.explain("follow", err)
	}
	return f.log.explain("read", f.move(ctx))
}

func (f *Follower) move(ctx context.Context) error {
	was, last := f.known, f.last
	if err := f.attach(ctx, was.to, f.log.find); err != nil {
		f.known = was
		return err
	}
	same, cancel := context.WithTimeout(ctx, sameTime)
	defer cancel()
	e, _, err := f.read(same)
	begin := e.offset
	switch {
	case err == nil && e.offset == was.to && f.last == last:
		f.known = was
		return nil
	case err != nil && (same.Err() == nil || ctx.Err() != nil):
		f.known, f.last = was, last
		return err
	case err != nil || e.offset <= was.to:
		begin = 0
	}
	return f.attach(ctx, begin, f.log.find) // its records are read again, by Next
}
