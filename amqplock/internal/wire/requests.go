package wire

import (
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// RequestChannel is a channel for requests that the broker may answer by closing it: the
// next request opens it again. Requests follow one another; one that hangs blocks those
// behind it, and no other channel.
type RequestChannel struct {
	conn    *Conn
	turn    chan struct{} // full while somebody has it; a mutex would stop the clock of synctest
	channel *Channel
	opened  time.Time // when the channel was asked for
}

// NewRequestChannel opens nothing yet.
func NewRequestChannel(c *Conn) *RequestChannel {
	return &RequestChannel{conn: c, turn: make(chan struct{}, 1)}
}

// Do blocks until f's answer is there or the connection ends.
func (r *RequestChannel) Do(f func(*amqp.Channel) error) error { return r.doSince(time.Time{}, f) }

// doSince is Do on a channel that is not older.
func (r *RequestChannel) doSince(since time.Time, f func(*amqp.Channel) error) error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	if r.channel == nil || r.channel.IsClosed() || r.opened.Before(since) {
		if err := r.renew(); err != nil {
			return err
		}
	}
	// It is closed where the answer to an earlier request has overtaken a later one.
	return r.channel.Reason(f(r.channel.Channel))
}

// renew replaces the channel. The caller has the turn.
func (r *RequestChannel) renew() error {
	if r.channel != nil {
		r.channel.CloseLater()
	}
	opened := time.Now()
	channel, err := newChannel(r.conn)
	if err == nil {
		r.opened, r.channel = opened, channel
	}
	return err
}

// Open saves the next request the round trip of opening the channel.
func (r *RequestChannel) Open() error { return r.OpenSince(time.Time{}) }

// OpenSince is Open for a channel that is not older.
func (r *RequestChannel) OpenSince(since time.Time) error {
	return r.doSince(since, func(*amqp.Channel) error { return nil })
}

// Claim declares an exclusive queue: the one operation that grants a lock, and no less a
// proof of ownership than Look. 405 says that the queue is another's, or no lock. A
// message held unacknowledged would be no lock: after 30 minutes RabbitMQ gives it to
// another.
//
// Nothing may be sent behind it before its answer. A request that crosses with the
// closing of its channel can end the whole connection (504, expected 'channel.open'), and
// with it what else that holds.
func (r *RequestChannel) Claim(queue string) error {
	return r.Do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, false, false, true, false, heldArgs())
		return err
	})
}

// Look declares passively. For an exclusive queue the answer depends on the asker: its
// own connection gets no error, any other 405.
func (r *RequestChannel) Look(queue string) error {
	_, err := r.Consumers(queue)
	return err
}

// Consumers is Look, and counts the consumers of the queue.
func (r *RequestChannel) Consumers(queue string) (n int, err error) {
	err = r.Do(func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
		n = q.Consumers
		return err
	})
	return n, err
}

// Get reads from a queue that is always empty, on a channel that is not older than since.
// On a quorum queue the answer went through the Raft log, so it proves a majority. And it
// is no publish, so an alarm does not hold it up.
func (r *RequestChannel) Get(since time.Time, queue string) error {
	return r.doSince(since, func(ch *amqp.Channel) error {
		_, _, err := ch.Get(queue, true)
		return err
	})
}

// removal are the pauses before the looks of AwaitRemoval.
var removal = []time.Duration{
	0, 5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond,
}

// AwaitRemoval looks until the queue is gone, for half a second: the notice of a
// deletion comes before it is done. It does not use basic.get. RabbitMQ 4.3 closes the
// whole connection (541) at a get from a quorum queue that is just being deleted. And
// it keeps its turn, so that no check gets either.
func (r *RequestChannel) AwaitRemoval(queue string) error {
	return r.Do(func(ch *amqp.Channel) error {
		for _, pause := range removal {
			<-time.After(pause)
			if _, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// Create declares a durable quorum queue: a slot or the witness.
func (r *RequestChannel) Create(queue string) error {
	return r.Do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, slotArgs())
		return err
	})
}

// HandBack looks whether the queues stand exist and the queues own are its connection's,
// and deletes the latter. Then it deletes the queue unused, unless that has consumers or
// is "". All that is one round trip: the broker handles the requests of a channel one
// after the other, and the first that fails closes it. A waiter that declared the wait
// queue but did not join it yet finds it gone when it joins, and tries again.
//
// It serves a connection that may not publish. To delete a queue that does not exist is
// no error and leaves no trace in the broker's log.
func (r *RequestChannel) HandBack(stand, own []string, unused string) error {
	return r.Do(func(ch *amqp.Channel) error {
		for _, queue := range slices.Concat(stand, own) {
			if _, err := ch.QueueDeclarePassive(queue, false, false, false, true, nil); err != nil {
				return err
			}
		}
		for i, queue := range own {
			last := unused == "" && i == len(own)-1
			if _, err := ch.QueueDelete(queue, false, false, !last); err != nil {
				return err
			}
		}
		if unused == "" {
			return nil
		}
		_, err := ch.QueueDelete(unused, true, false, false)
		return err
	})
}

// Remove deletes a queue; one that does not exist is no error.
func (r *RequestChannel) Remove(queue string) error {
	return r.Do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	})
}
