package locker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Seen is what can be seen of a lock from outside, at about one instant.
type Seen struct {
	Lock  wire.Ref
	Slots int // 1 for a mutex
	Held  int // Slots less those that are free; so far the broker vouches for it

	Free []int // the numbers of the free slots, from 1 also for a mutex
	Left int   // how many of Slots a drain that goes on will leave

	Queued int  // how many are in the wait queue, where anybody says that it waits there
	Asked  bool // the participants
	Said   []presence.Answer
}

// Look asks the broker.
func Look(ctx context.Context, b wire.Broker, lock wire.Ref) (Seen, error) {
	return inspect(ctx, b, lock, func(link *wire.Link) (Seen, error) {
		return count(ctx, link, lock, byPublishing(ctx, link, lock))
	})
}

// Inspect asks the broker, and then the participants. That they cannot be asked is logged
// and no error.
func Inspect(ctx context.Context, b wire.Broker, lock wire.Ref) (Seen, error) {
	return inspect(ctx, b, lock, func(link *wire.Link) (Seen, error) {
		seen, err := count(ctx, link, lock, byPublishing(ctx, link, lock))
		if err != nil {
			return seen, err
		}
		key := presence.Key(lock)
		said, err := presence.Ask(ctx, link, key, seen.Held)
		if err != nil {
			b.Debugf("the holders are not known: %v", err)
		}
		seen.hear(ctx, link, said)
		if seen.Queued > seen.listed() { // on a busy machine an answer may take longer
			more, err := presence.AskPatiently(ctx, link, key, silentPatience)
			if err != nil {
				b.Debugf("not all waiters are known: %v", err)
			}
			seen.hear(ctx, link, newest(append(said, more...)...))
		}
		return seen, nil
	})
}

// Said asks the participants alone, and logs nothing.
func Said(ctx context.Context, b wire.Broker, lock wire.Ref) ([]presence.Answer, error) {
	b.Log = slog.New(slog.DiscardHandler)
	enough := math.MaxInt // of a semaphore it has no end that could be known
	if lock.Kind == wire.Mutex {
		enough = 1
	}
	return inspect(ctx, b, lock, func(link *wire.Link) ([]presence.Answer, error) {
		return presence.Ask(ctx, link, presence.Key(lock), enough)
	})
}

// InspectAll looks at all locks that have participants, sorted by kind and name. One that
// cannot be counted does not hide the others. It is an error if the user may count none
// of those that answered.
func InspectAll(ctx context.Context, b wire.Broker) ([]Seen, error) {
	return inspectOver(ctx, b, func(link *wire.Link) ([]Seen, error) {
		answers, err := presence.Ask(ctx, link, presence.Everybody, math.MaxInt)
		if err != nil {
			return nil, err
		}
		locks := map[wire.Ref][]presence.Answer{}
		for _, a := range answers {
			locks[a.Lock()] = append(locks[a.Lock()], a)
		}
		return countAll(ctx, b, link, locks)
	})
}

// countAll looks at these locks. It connects again when an answer has ended the
// connection.
func countAll(
	ctx context.Context, b wire.Broker, link *wire.Link, locks map[wire.Ref][]presence.Answer,
) ([]Seen, error) {
	var all []Seen
	var refused error
	for _, lock := range slices.SortedFunc(maps.Keys(locks), func(a, b wire.Ref) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	}) {
		seen, err := count(ctx, link, lock, byClaims(locks[lock]))
		if err == nil {
			seen.hear(ctx, link, locks[lock])
			all = append(all, seen)
			continue
		}
		b.Debugf("%v", err) // it may be gone by now, or never have been
		if errors.Is(err, fault.ErrAccess) {
			refused = err
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if link.Lock.IsClosed() {
			if link, err = wire.Connect(ctx, b.Afresh()); err != nil {
				return nil, err
			}
			defer link.Close()
		}
	}
	if len(all) == 0 {
		return nil, refused
	}
	return all, nil
}

// Evict makes a holder lose the lock. amqplock.Client.Evict documents it.
func Evict(ctx context.Context, b wire.Broker, lock wire.Ref, id, by string) error {
	_, err := inspect(ctx, b, lock, func(link *wire.Link) (struct{}, error) {
		return struct{}{}, presence.Evict(ctx, link, lock, id, by)
	})
	return err
}

func inspect[T any](
	ctx context.Context, b wire.Broker, lock wire.Ref, look func(*wire.Link) (T, error),
) (T, error) {
	if err := lock.Check(); err != nil {
		var none T
		return none, err
	}
	return inspectOver(ctx, b, look)
}

func inspectOver[T any](
	ctx context.Context, b wire.Broker, look func(*wire.Link) (T, error),
) (T, error) {
	link, err := wire.Connect(ctx, b.Afresh())
	if err != nil {
		var none T
		return none, err
	}
	defer link.Abort()
	seen, err := look(link)
	if err == nil {
		link.Close()
	}
	return seen, err
}

// count asks the broker. holds finds out whether a mutex is held at which we cannot look.
func count(
	ctx context.Context, link *wire.Link, lock wire.Ref, holds func() (bool, error),
) (Seen, error) {
	if lock.Kind == wire.Semaphore {
		found, err := link.Survey(ctx, lock.Name)
		if err == nil && !found.Known {
			err = NoSemaphore(lock.Name, link.Lock.Broker)
		}
		return Seen{
			Lock: lock, Slots: found.Count, Held: found.Held, Free: found.Free, Left: found.Left,
		}, err
	}
	seen := Seen{Lock: lock, Slots: 1, Left: 1}
	held, err := isHeld(ctx, link, lock, holds)
	switch {
	case err != nil:
	case held:
		seen.Held = 1
	default:
		seen.Free = []int{1}
	}
	return seen, err
}

func isHeld(
	ctx context.Context, link *wire.Link, mutex wire.Ref, holds func() (bool, error),
) (bool, error) {
	if wire.Fragile(link.Lock.Config.Vhost, mutex.Name) {
		return holds()
	}
	look := func() error { return link.Requests.Look(mutex.Name) }
	err := link.Timed(ctx, "look at "+mutex.String(), look)
	switch {
	case err == nil:
		return false, NotALock(mutex.Name, link.Lock.Broker)
	case wire.Code(err) == amqp.ResourceLocked:
		return true, nil
	case wire.Absent(err):
		return false, nil
	case wire.Code(err) == amqp.AccessRefused: // 4.3 lets only those look who may configure it
		if held, otherErr := holds(); otherErr == nil {
			return held, nil
		}
	}
	return false, err
}

// byPublishing finds out whether a mutex is held.
func byPublishing(ctx context.Context, link *wire.Link, mutex wire.Ref) func() (bool, error) {
	return func() (bool, error) {
		missing, err := link.Missing(ctx, mutex.Name)
		return !missing, err
	}
}

// byClaims finds out whether somebody claims to hold a mutex. It is for a name that only
// those who answer have given. The name may be that of a work queue, into which a
// question by publishing would put a message.
func byClaims(said []presence.Answer) func() (bool, error) {
	claims := func(a presence.Answer) bool { return a.Claims() > 0 }
	return func() (bool, error) { return slices.ContainsFunc(said, claims), nil }
}

// silentPatience is how long those that have not answered have for that, once more: as
// long as a missing holder (presence.missingPatience).
const silentPatience = 500 * time.Millisecond

// newest are the answers of all, of each the last.
func newest(answers ...presence.Answer) []presence.Answer {
	byID := map[string]presence.Answer{}
	for _, a := range answers {
		byID[a.About.ID] = a
	}
	return slices.Collect(maps.Values(byID))
}

// listed is how many say that they wait in the queue.
func (s *Seen) listed() (n int) {
	for _, a := range s.Said {
		if a.InQueue && len(a.Slots) == 0 {
			n++
		}
	}
	return n
}

// hear adds what the participants say, in the order in which they are to be served, those
// without a place in the wait queue last.
func (s *Seen) hear(ctx context.Context, link *wire.Link, said []presence.Answer) {
	slices.SortFunc(said, func(a, b presence.Answer) int {
		switch {
		case a.InQueue != b.InQueue && a.InQueue:
			return -1
		case a.InQueue != b.InQueue:
			return 1
		case a.InQueue && a.Priority != b.Priority:
			return cmp.Compare(b.Priority, a.Priority)
		}
		return cmp.Or(a.Since().Compare(b.Since()), strings.Compare(a.About.ID, b.About.ID))
	})
	s.Asked, s.Said = true, said
	growing := 0
	for _, a := range said {
		if a.Elastic {
			growing++
		}
	}
	if s.Queued = s.listed(); s.Queued > 0 { // then there is a queue to look at
		s.Queued = max(s.Queued, queueLength(ctx, link, s.Lock)-growing)
	}
}

// queueLength is how many stand in the wait queue, whether they say so or not.
func queueLength(ctx context.Context, link *wire.Link, lock wire.Ref) int {
	doing := fmt.Sprintf("look at the wait queue of %s", lock)
	n, err := wire.TimedFor(ctx, link, doing, func(context.Context) (int, error) {
		return link.Requests.Consumers(wire.WaitQueue(lock.Name))
	})
	if err != nil {
		link.Broker.Debugf("%v", err)
	}
	return n
}
