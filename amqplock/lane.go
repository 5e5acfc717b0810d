package amqplock

import (
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// lane is a channel for requests that the broker may answer by closing it: the next request opens it again. Requests in a lane
// follow one another; one that hangs blocks those behind it, and no other lane.
type lane struct {
	connection *amqp.Connection
	turn       chan struct{} // full while somebody has the lane; a mutex would stop the clock of testing/synctest
	channel    *amqp.Channel
	closed     chan *amqp.Error // says why the broker has closed the channel
	opened     time.Time        // the channel was asked for
}

func newLane(c *conn) *lane { return &lane{connection: c.Connection, turn: make(chan struct{}, 1)} }

// do blocks until f's answer is there or the connection ends.
func (l *lane) do(f func(*amqp.Channel) error) error { return l.doSince(time.Time{}, f) }

// doSince is do on a channel that is not older.
func (l *lane) doSince(since time.Time, f func(*amqp.Channel) error) error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.channel == nil || l.channel.IsClosed() || l.opened.Before(since) {
		if err := l.renew(); err != nil {
			return err
		}
	}
	err := f(l.channel)
	if errors.Is(err, amqp.ErrClosed) { // the answer to an earlier request has overtaken a later request
		if why := <-l.closed; why != nil {
			return why
		}
	}
	return err
}

// renew replaces the channel; the caller has the lane.
func (l *lane) renew() error {
	if old := l.channel; old != nil {
		go func() { _ = old.Close() }() // the answer is not worth a round trip; with the connection it ends at the latest
	}
	opened := time.Now()
	channel, err := l.connection.Channel()
	if err != nil {
		return err
	}
	l.opened, l.channel, l.closed = opened, channel, channel.NotifyClose(make(chan *amqp.Error, 1))
	return nil
}

// open saves the next request the round trip of opening the channel.
func (l *lane) open() error { return l.openSince(time.Time{}) }

// openSince is open for a channel that is not older.
func (l *lane) openSince(since time.Time) error {
	return l.doSince(since, func(*amqp.Channel) error { return nil })
}

// claim declares an exclusive queue: the one operation that grants a lock, and no less a proof of ownership than a look. 405 says that it
// is another's, or no lock.
//
// Nothing may be sent behind it before its answer: a request that crosses with the closing of its channel can end the whole connection
// (504, expected 'channel.open'), and with it what else that holds.
func (l *lane) claim(queue string) error {
	return l.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, false, false, true, false, holdArgs())
		return err
	})
}

// look declares passively. For an exclusive queue the answer depends on who asks: its own connection gets no error, any other 405.
func (l *lane) look(queue string) error {
	return l.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
		return err
	})
}

// consumers counts who consumes from a queue. Of a quorum queue those count that its leader can reach.
func (l *lane) consumers(queue string) (n int, err error) {
	err = l.do(func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
		n = q.Consumers
		return err
	})
	return n, err
}

// get reads from a queue that is always empty. On a quorum queue the answer went through the Raft log, so it proves a majority;
// and it is no publish, so an alarm does not hold it up.
//
// It asks on a channel that is not older than since.
func (l *lane) get(since time.Time, queue string) error {
	return l.doSince(since, func(ch *amqp.Channel) error {
		_, _, err := ch.Get(queue, true)
		return err
	})
}

// removal are the moments at which removed looks again: the notice of a deletion comes before it is done.
var removal = []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond}

// removed looks until the queue is gone, for half a second. It looks and does not get, because RabbitMQ 4.3 closes the whole connection
// (541) when it is asked to get from a quorum queue that is just being deleted; and it keeps the lane, so that no check does either.
func (l *lane) removed(queue string) error {
	return l.do(func(ch *amqp.Channel) error {
		for _, pause := range removal {
			<-time.After(pause)
			if _, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// create declares a durable quorum queue: a slot or the witness.
func (l *lane) create(queue string) error {
	return l.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, slotArgs())
		return err
	})
}

// handBack looks whether the queues are its own, deletes them, and then the waiting line unless somebody stands in it, all in one round trip: the
// broker handles the requests of a channel one after the other, and the first that fails closes it. With line "" it leaves that out. A waiter
// that declared the line but did not join it yet finds it gone when it joins, and tries again.
//
// It serves a connection that may not publish: queue.delete of a queue that does not exist is no error and leaves no trace in the broker's
// log.
func (l *lane) handBack(queues []string, line string) error {
	return l.do(func(ch *amqp.Channel) error {
		for _, queue := range queues {
			if _, err := ch.QueueDeclarePassive(queue, false, false, false, true, nil); err != nil {
				return err
			}
		}
		for i, queue := range queues {
			last := line == "" && i == len(queues)-1
			if _, err := ch.QueueDelete(queue, false, false, !last); err != nil {
				return err
			}
		}
		if line == "" {
			return nil
		}
		_, err := ch.QueueDelete(line, true, false, false)
		return err
	})
}

// remove deletes a queue; one that does not exist is no error.
func (l *lane) remove(queue string) error {
	return l.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	})
}
