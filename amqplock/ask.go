package amqplock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// For how long an asker waits for the next answer: where somebody is missing who holds the lock, and where nobody is. askAtMost bounds
// it all, and maxAnswers what strangers can make it keep.
const (
	missingPatience = 500 * time.Millisecond
	quietPatience   = 150 * time.Millisecond
	askAtMost       = 5 * time.Second
	maxAnswers      = 20_000
)

// inquiry is a question that has been asked, on a channel of its own of the talk connection. Nobody knows how many answers will come.
type inquiry struct {
	channel *amqp.Channel
	answers <-chan amqp.Delivery
	returns chan amqp.Return
	closed  chan *amqp.Error
	alarms  <-chan amqp.Blocking
}

// inquire asks: body, published to exchange with key. The answers come by direct reply-to, so the asker needs no queue.
func inquire(talk *conn, exchange, key string, body []byte) (*inquiry, error) {
	channel, err := talk.Channel()
	if err != nil {
		return nil, err
	}
	q := &inquiry{
		channel: channel,
		returns: channel.NotifyReturn(make(chan amqp.Return, 1)),
		closed:  channel.NotifyClose(make(chan *amqp.Error, 1)),
		alarms:  talk.alarms,
	}
	if q.answers, err = channel.Consume(replyPrefix, "", true, false, false, false, nil); err != nil {
		return nil, err
	}
	return q, channel.Publish(exchange, key, true, false, amqp.Publishing{
		ContentType: "application/json", ReplyTo: replyPrefix, Body: body,
	})
}

// errNobody says that no participant has bound what was asked for.
var errNobody = errors.New("nobody answers to that")

// next returns the next answer, context.DeadlineExceeded when patience is over, or why there can be none.
func (q *inquiry) next(ctx context.Context, patience time.Duration) (answer, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case d, open := <-q.answers:
			if !open {
				if why := <-q.closed; code(why) == amqp.NotFound {
					return answer{}, errNobody // the exchange does not exist
				} else if why != nil {
					return answer{}, why
				}
				return answer{}, amqp.ErrClosed
			}
			a, err := readAnswer(d.Body)
			if err != nil {
				continue
			}
			a.arrived = time.Now()
			return a, nil
		case <-q.returns:
			return answer{}, errNobody
		case alarm, open := <-q.alarms:
			switch {
			case !open:
				return answer{}, amqp.ErrClosed
			case alarm.Active:
				return answer{}, &alarmError{alarm.Reason}
			}
		case <-timer.C:
			return answer{}, context.DeadlineExceeded
		case <-ctx.Done():
			return answer{}, context.Cause(ctx)
		}
	}
}

// ask collects the answers of the participants to whom key leads, the newest of each, until enough says so and none came for a
// moment. An error that comes with answers says why there are no more; silence is no error.
func (s *session) ask(ctx context.Context, key string, enough func(map[string]answer) bool) (map[string]answer, error) {
	if err := s.openTalk(ctx); err != nil {
		return nil, err
	}
	talk := s.talk
	q, err := timedFor(ctx, s, "ask who holds", func(context.Context) (*inquiry, error) {
		return inquire(talk, whoExchange, key, nil)
	})
	if err != nil {
		return nil, err
	}
	defer func() { go func() { _ = q.channel.Close() }() }() // which hangs in an alarm, until the connection ends
	ctx, cancel := context.WithTimeout(ctx, askAtMost)
	defer cancel()
	all := map[string]answer{}
	for len(all) < maxAnswers {
		patience := missingPatience
		if enough(all) {
			patience = quietPatience
		}
		a, err := q.next(ctx, patience)
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errNobody):
			return all, nil
		case err != nil:
			return all, refused(s.hold.broker, "ask who holds", err)
		}
		all[a.About.ID] = a
	}
	return all, nil
}

// Evict makes the holder id of lock cfg.Kind, cfg.Name lose it, as if the broker had taken it: the context of its lock ends, and the cause says
// that it was evicted by by. Evict returns nil when the holder has confirmed that; it goes on holding the lock until its work has stopped.
// Where there is no such holder (it has released, it only waits, it holds another lock, it is not of this program) the error
// matches ErrNotFound; where one is addressed and does not confirm in time, ErrUnreachable. Of cfg only Broker, Kind, Name and Logf count.
func Evict(ctx context.Context, cfg Config, id, by string) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	order, err := json.Marshal(eviction{Version: answerVersion, Kind: cfg.Kind, Name: cfg.Name, By: by})
	if err != nil {
		return err
	}
	s, err := connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.drop()
	if err := s.openTalk(ctx); err != nil {
		return err
	}
	a, err := timedFor(ctx, s, "evict holder "+quoteName(id), func(ctx context.Context) (answer, error) {
		q, err := inquire(s.talk, evictExchange, id, order)
		if err != nil {
			return answer{}, err
		}
		return q.next(ctx, cfg.ConnectTimeout)
	})
	if err = s.evicted(ctx, id, a, err); err == nil {
		s.farewell()
	}
	return err
}

// evicted explains how the holder has answered.
func (s *session) evicted(ctx context.Context, id string, a answer, err error) error {
	holder := fmt.Sprintf("holder %s of %s on %s", quoteName(id), s.lockName(), s.hold.broker)
	none := func(why string) error {
		return &Error{
			Kind: ErrNotFound,
			Text: holder + ": " + why,
			Hint: "amqprun status lists the holders and their IDs",
		}
	}
	var alarm *alarmError
	switch {
	case errors.Is(err, errNobody):
		return none("there is no such holder")
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil, errors.As(err, &alarm):
		return &Error{
			Kind: ErrUnreachable,
			Text: holder + " does not answer, and may or may not stop",
			Hint: "it may be frozen or cut off, or the broker in an alarm; if amqprun status still shows the lock held, " +
				"close the holder's connection: rabbitmqctl close_connection",
			Err: err,
		}
	case err != nil:
		return err
	case a.Kind != s.cfg.Kind || a.Name != s.cfg.Name:
		return none(fmt.Sprintf("it has to do with %s %q instead", a.Kind, a.Name))
	case !a.Evicted:
		return none("it only waits, and holds nothing")
	}
	return nil
}
