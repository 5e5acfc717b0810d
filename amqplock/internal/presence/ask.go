package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// For how long an asker waits for the next answer: where a holder is missing, and where
// none is. It waits for as long as the broker took to take the question, if that is more.
// Where none is missing it waits for as long as the newest answer took, up to the former,
// because waiters may be slower than holders. askAtMost bounds it all.
// maxAnswers and maxBytes bound what untrusted participants can make it keep.
const (
	missingPatience = 500 * time.Millisecond
	quietPatience   = 150 * time.Millisecond
	askAtMost       = 5 * time.Second
	maxAnswers      = 20_000
	maxBytes        = 16 << 20
)

// Ask collects the answers of the participants to whom key leads, the newest of each.
// It ends when enough slots are claimed and no answer came for a moment. An error that
// comes with answers says why there are no more. Silence is no error.
func Ask(ctx context.Context, link *wire.Link, key string, enough int) ([]Answer, error) {
	return ask(ctx, link, key, enough, missingPatience)
}

// AskPatiently is Ask that ends when no answer came for as long as patience.
func AskPatiently(
	ctx context.Context, link *wire.Link, key string, patience time.Duration,
) ([]Answer, error) {
	return ask(ctx, link, key, math.MaxInt, patience)
}

// ask waits as long as missing for each answer until enough slots are claimed.
func ask(
	ctx context.Context, link *wire.Link, key string, enough int, missing time.Duration,
) ([]Answer, error) {
	if err := link.OpenPublish(ctx); err != nil {
		return nil, err
	}
	c, begun := link.Publish(), time.Now()
	asking, asked := context.WithTimeout(ctx, link.Broker.ConnectTimeout)
	defer asked()
	q, err := inquire(asking, c, whoExchange, key, amqp.Publishing{})
	if err != nil {
		return nil, wire.Refused(link.Lock.Broker, "ask who holds", err)
	}
	defer q.channel.CloseLater()
	took, latest := time.Since(begun), time.Duration(0)
	bounded, cancel := context.WithTimeout(ctx, askAtMost)
	defer cancel()
	all, claimed, bytes := map[string]Answer{}, 0, 0
	for len(all) < maxAnswers && bytes < maxBytes && err == nil {
		patience := missing
		if claimed >= enough {
			patience = max(quietPatience, min(latest, missing))
		}
		var a Answer
		if a, err = q.next(bounded, max(patience, took)); err == nil {
			latest, bytes = time.Since(begun), bytes+a.bytes
			claimed += a.Claims() - all[a.About.ID].Claims()
			all[a.About.ID] = a
		}
	}
	late := bounded.Err() != nil && ctx.Err() == nil
	if late || errors.Is(err, errSilence) || errors.Is(err, errNobody) {
		err = nil
	}
	return slices.Collect(maps.Values(all)), wire.Refused(link.Lock.Broker, "ask who holds", err)
}

// Claims is how many slots the participant claims, as a holder or while it collects.
func (a Answer) Claims() int { return len(a.Slots) + len(a.Collected) }

// Evict makes the holder with that ID lose lock, and returns when it has confirmed that.
// by is the person who wants it.
func Evict(ctx context.Context, link *wire.Link, lock wire.Ref, id, by string) error {
	order, err := json.Marshal(eviction{
		Version: answerVersion, Kind: lock.Kind, Name: lock.Name, By: short(by),
	})
	if err != nil {
		return err
	}
	if id = wire.Printable(id); len(id) > maxID {
		return noHolder(link, lock, id, "an ID has at most 200 bytes")
	}
	if err := link.OpenPublish(ctx); err != nil {
		return err
	}
	c := link.Publish()
	doing := "evict holder " + wire.QuoteName(id)
	a, err := wire.TimedFor(ctx, link, doing, func(bounded context.Context) (Answer, error) {
		a, err := evict(bounded, c, id, amqp.Publishing{Body: order, UserId: c.User})
		if wire.Code(err) == amqp.PreconditionFailed { // the login has another name than the user
			a, err = evict(bounded, c, id, amqp.Publishing{Body: order})
		}
		return a, err
	})
	alarm := (*wire.AlarmError)(nil)
	switch {
	case errors.Is(err, errNobody):
		return noHolder(link, lock, id, "there is no such holder")
	case errors.As(err, &alarm),
		errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return &fault.Error{
			Kind: fault.ErrUnreachable,
			Text: describe(link, lock, id) + " does not answer, and may or may not stop",
			Hint: "it may be frozen or cut off, or the broker in an alarm; if amqprun status still " +
				"shows the lock held, close the holder's connection: rabbitmqctl close_connection",
			Err: err,
		}
	case err != nil:
		return err
	case a.Lock() != lock:
		return noHolder(link, lock, id, fmt.Sprintf("it holds or waits for %s instead", a.Lock()))
	case !a.Evicted:
		return noHolder(link, lock, id, "it only waits, and holds nothing")
	}
	return nil
}

// evict waits for the answer until ctx ends.
func evict(ctx context.Context, c *wire.Conn, id string, order amqp.Publishing) (Answer, error) {
	q, err := inquire(ctx, c, evictExchange, id, order)
	if err != nil {
		return Answer{}, err
	}
	defer q.channel.CloseLater()
	return q.next(ctx, time.Hour)
}

func noHolder(link *wire.Link, lock wire.Ref, id, why string) error {
	return &fault.Error{
		Kind: fault.ErrNotFound,
		Text: describe(link, lock, id) + ": " + why,
		Hint: "amqprun status lists the holders and their IDs",
	}
}

func describe(link *wire.Link, lock wire.Ref, id string) string {
	return fmt.Sprintf("holder %s of %s on %s", wire.QuoteName(id), lock, link.Lock.Broker)
}

// inquiry is a question that has been asked, on a channel of its own of the publish
// connection. Nobody knows how many answers will come.
type inquiry struct {
	channel *wire.Channel
	answers <-chan amqp.Delivery
	returns chan amqp.Return
	alarms  <-chan amqp.Blocking
}

// inquire publishes the question to exchange with key. The answers come by direct
// reply-to, so the asker needs no queue. It leaves nothing behind when it fails, or ctx
// ends: the connection may be that of a waiter, which asks again and again.
func inquire(
	ctx context.Context, c *wire.Conn, exchange, key string, question amqp.Publishing,
) (*inquiry, error) {
	channel, err := wire.OpenChannel(ctx, c)
	if err != nil {
		return nil, err
	}
	q := &inquiry{
		channel: channel,
		returns: channel.NotifyReturn(make(chan amqp.Return, 1)),
		alarms:  c.Alarms(),
	}
	question.ContentType, question.ReplyTo = "application/json", replyPrefix
	q.answers, err = wire.CallOn(ctx, channel, func() (<-chan amqp.Delivery, error) {
		answers, err := channel.Consume(replyPrefix, "", true, false, false, false, nil)
		if err == nil {
			err = channel.Publish(exchange, key, true, false, question)
		}
		return answers, err
	})
	if err != nil {
		channel.CloseLater()
		return nil, err
	}
	return q, nil
}

var (
	errNobody  = errors.New("no participant has bound what was asked for")
	errSilence = errors.New("no answer in time")
)

// next returns the next answer, errSilence when patience is over, or why there can be
// none.
func (q *inquiry) next(ctx context.Context, patience time.Duration) (Answer, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case d, open := <-q.answers:
			if !open {
				return Answer{}, q.ended()
			}
			a, err := readAnswer(d.Body)
			if err != nil {
				continue
			}
			a.arrived, a.bytes = time.Now(), len(d.Body)
			return a, nil
		case _, open := <-q.returns:
			if !open {
				return Answer{}, q.ended()
			}
			return Answer{}, errNobody
		case alarm, open := <-q.alarms:
			switch {
			case !open:
				return Answer{}, amqp.ErrClosed
			case alarm.Active:
				return Answer{}, &wire.AlarmError{Reason: alarm.Reason}
			}
		case <-timer.C:
			return Answer{}, errSilence
		case <-ctx.Done():
			return Answer{}, context.Cause(ctx)
		}
	}
}

// ended is why the channel has ended.
func (q *inquiry) ended() error {
	why := q.channel.Reason(amqp.ErrClosed)
	if wire.Code(why) == amqp.NotFound { // the exchange does not exist
		return errNobody
	}
	return why
}
