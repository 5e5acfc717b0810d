package wire

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Link is how one party to a lock reaches the broker. It asks over the publish connection
// which queues there are.
//
// One goroutine at a time uses a Link.
type Link struct {
	Pair

	// Expect is how many slots the semaphore probably has, 0 if nobody knows. To know it
	// makes Find faster.
	Expect int

	// Prefer are slots that Find asks about wherever they are.
	Prefer []int

	prober *prober // nil until it is needed; see Probes
	mute   bool    // we may not publish, and so not ask
}

// Connect opens the lock connection.
func Connect(ctx context.Context, b Broker) (*Link, error) {
	b, err := b.Resolve()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	b.Debugf("connecting to %s", b)
	lock, err := b.Open(ctx, ForLock)
	if err != nil {
		return nil, err
	}
	b.Debugf("connected to %s in %s, RabbitMQ %v, heartbeat %s",
		lock.Broker, Took(begun), lock.Properties["version"], lock.Config.Heartbeat)
	return &Link{Pair: Pair{Broker: b, Lock: lock, Requests: NewRequestChannel(lock)}}, nil
}

// Sibling is a link with the same lock connection, which only l closes, and a publish
// connection of its own.
func (l *Link) Sibling() *Link {
	return &Link{Pair: Pair{Broker: l.Broker, Lock: l.Lock, Requests: l.Requests}}
}

// Timed is Call with the bound of Broker.ConnectTimeout. Where the broker does not
// answer, or refuses, the error explains it; doing says what was tried.
func (l *Link) Timed(ctx context.Context, doing string, f func() error) error {
	none := func(context.Context) (struct{}, error) { return struct{}{}, f() }
	_, err := TimedFor(ctx, l, doing, none)
	return err
}

// TimedFor is Link.Timed for an f with a result. The context of f has the bound too.
func TimedFor[T any](
	ctx context.Context, l *Link, doing string, f func(context.Context) (T, error),
) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Broker.ConnectTimeout)
	defer cancel()
	value, err := CallFor(ctx, func() (T, error) { return f(ctx) })
	return value, Refused(l.Lock.Broker, doing, err)
}

// Find looks for want free slots of a semaphore. It looks at no more than most slots of
// a long row.
func (l *Link) Find(ctx context.Context, name string, want, most int) (Slots, error) {
	return probedFor(ctx, l, "look for slots of "+Ref{Semaphore, name}.String(),
		func(ctx context.Context, p *prober) (Slots, error) {
			return p.find(ctx, name, want, most, l.Expect, l.Prefer)
		})
}

// Survey looks at all slots of a semaphore.
func (l *Link) Survey(ctx context.Context, name string) (Slots, error) {
	return probedFor(ctx, l, "look for slots of "+Ref{Semaphore, name}.String(),
		func(ctx context.Context, p *prober) (Slots, error) { return p.survey(ctx, name) })
}

// Count finds out how many slots a semaphore has, in a few round trips.
func (l *Link) Count(ctx context.Context, name string) (Slots, error) {
	return probedFor(ctx, l, "count the slots of "+Ref{Semaphore, name}.String(),
		func(ctx context.Context, p *prober) (Slots, error) { return p.count(ctx, name) })
}

// Remains is the last of the slots that an interrupted creation has left, 0 if there are
// none. It makes them from slot 2 on, and slot 1 after all others.
func (l *Link) Remains(ctx context.Context, name string) (last int, err error) {
	return probedFor(ctx, l, "look for slots of "+Ref{Semaphore, name}.String(),
		func(ctx context.Context, p *prober) (int, error) {
			missing, err := p.probe(ctx, []string{SlotQueue(name, 2)})
			if err != nil || missing[0] {
				return 0, err
			}
			return p.bisect(ctx, name, 2)
		})
}

// Compare reports whether a semaphore has fewer slots than n, or more. It asks about two.
func (l *Link) Compare(ctx context.Context, name string, n int) (fewer, more bool, err error) {
	missing, err := l.missing(ctx, "count the slots of "+Ref{Semaphore, name}.String(),
		SlotQueue(name, n), SlotQueue(name, n+1))
	if err != nil {
		return false, false, err
	}
	return n > 0 && missing[0], !missing[1], nil
}

// Missing reports whether a queue is missing.
func (l *Link) Missing(ctx context.Context, queue string) (bool, error) {
	missing, err := l.missing(ctx, "look for queue "+queue, queue)
	return err == nil && missing[0], err
}

// missing reports which of the queues are missing.
func (l *Link) missing(ctx context.Context, doing string, queues ...string) ([]bool, error) {
	return probedFor(ctx, l, doing,
		func(ctx context.Context, p *prober) ([]bool, error) { return p.probe(ctx, queues) })
}

// MissingNow is Missing where that can be asked at once, without a new connection; sure
// reports whether it could.
func (l *Link) MissingNow(ctx context.Context, queue string) (missing, sure bool) {
	if !l.canAsk() {
		return false, false
	}
	missing, err := l.Missing(ctx, queue)
	l.mute = Code(err) == amqp.AccessRefused
	return missing, err == nil
}

// FreeNow reports whether a mutex, or a slot of a semaphore, is seen to be free, and
// among how many slots. It is false where that cannot be asked at once.
func (l *Link) FreeNow(ctx context.Context, lock Ref) (free bool, slots int) {
	if lock.Kind == Mutex {
		missing, sure := l.MissingNow(ctx, lock.Name)
		return sure && missing, 1
	}
	if !l.canAsk() {
		return false, 0
	}
	found, err := l.Find(ctx, lock.Name, 1, MaxSlots+Overshoot)
	return err == nil && len(found.Free) > 0, found.Count
}

// Probes reports whether a question costs one round trip: all that it needs is open.
func (l *Link) Probes() bool {
	return l.publish != nil && l.prober != nil && l.prober.conn == l.publish
}

// canAsk reports whether a question can go out at once, over the connection that there
// is.
func (l *Link) canAsk() bool {
	return !l.mute && l.publish != nil && !l.publish.IsClosed() && !l.publish.Blocked()
}

// RabbitMQ 4.0 fails for some milliseconds where a quorum queue is deleted. A question
// about many slots meets several deletions when a semaphore shrinks.
const (
	maxProbes  = 5
	probePause = 10 * time.Millisecond
)

// probedFor asks again where the broker fails itself (541). It does for a message to a
// quorum queue that is being deleted, or whose leader has died.
func probedFor[T any](
	ctx context.Context, l *Link, doing string, look func(context.Context, *prober) (T, error),
) (T, error) {
	for try := 1; ; try++ {
		found, err := probedOnce(ctx, l, doing, look)
		if Code(err) != amqp.InternalError || try == maxProbes {
			return found, err
		}
		if Pause(ctx, time.Duration(try)*probePause) != nil {
			return found, err
		}
	}
}

// probedOnce gives up the prober after an error: the answers may still come, and would be
// taken for those to the next question. The publish connection, and with it a place in
// the wait queue, is left alone.
func probedOnce[T any](
	ctx context.Context, l *Link, doing string, look func(context.Context, *prober) (T, error),
) (found T, err error) {
	if err = l.OpenProber(ctx); err != nil {
		return found, err
	}
	p := l.prober
	found, err = TimedFor(ctx, l, doing, func(ctx context.Context) (T, error) {
		return inTurn(p.channel, func() (T, error) { return look(ctx, p) })
	})
	if err != nil {
		p.channel.CloseLater()
		l.prober = nil
	}
	return found, err
}

// OpenProber opens what probes need, unless it is open: the publish connection and a
// channel.
func (l *Link) OpenProber(ctx context.Context) error {
	if err := l.OpenPublish(ctx); err != nil {
		return err
	}
	c := l.publish
	if c.Blocked() {
		return Refused(l.Lock.Broker, "publish", &AlarmError{"memory or disk"})
	}
	if l.Probes() {
		return nil
	}
	var err error
	l.prober, err = TimedFor(ctx, l, "open a channel",
		func(ctx context.Context) (*prober, error) { return newProber(ctx, c) })
	return err
}
