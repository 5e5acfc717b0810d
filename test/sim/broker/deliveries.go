package broker

import (
	"fmt"
	"slices"
)

// delivery is a message that a channel has not acknowledged.
type delivery struct {
	tag      uint64
	queue    *queue
	message  *message
	consumer *consumer // nil for basic.get
}

// fate is what becomes of a message that was delivered.
type fate int

const (
	acknowledged fate = iota
	requeued
	rejected
)

// refused is the fate of a message that is given back.
func refused(requeue bool) fate {
	if requeue {
		return requeued
	}
	return rejected
}

// hand notes a delivery, and returns its tag.
func (ch *channel) hand(q *queue, msg *message, m *consumer, noAck bool) uint64 {
	ch.delivery++
	if !noAck {
		ch.unacked = append(ch.unacked, &delivery{ch.delivery, q, msg, m})
		if m != nil {
			m.open++
		}
	}
	return ch.delivery
}

// settle ends the responsibility of the channel for a message, or for all up to it.
func (ch *channel) settle(tag uint64, multiple bool, end fate) {
	var settled []*delivery
	ch.unacked = slices.DeleteFunc(ch.unacked, func(d *delivery) bool {
		upTo := multiple && (d.tag < tag || tag == 0)
		if d.tag != tag && !upTo {
			return false
		}
		settled = append(settled, d)
		return true
	})
	if len(settled) == 0 && !multiple && tag > ch.delivery {
		ch.fail(codePreconditionFailed, fmt.Sprintf("PRECONDITION_FAILED - unknown delivery tag %d", tag))
		return
	}
	for _, d := range settled { // a dead letter may come back at once
		if d.consumer != nil {
			d.consumer.open--
		}
		switch end {
		case requeued:
			d.requeue()
		case rejected:
			d.queue.bury(d.message, "rejected")
		}
	}
	for _, d := range settled {
		d.queue.deliver()
	}
}

// requeue puts a message back at the front. It reports whether its queue is still there.
func (d *delivery) requeue() bool {
	q := d.queue
	if q.removed || q.log != nil {
		return false
	}
	d.message.redelivered = true
	q.ready = slices.Insert(q.ready, 0, d.message)
	if q.ttl == 0 {
		q.expire(d.message)
	}
	q.shorten()
	return true
}

// requeueAll gives back all that was not acknowledged.
func (ch *channel) requeueAll() (touched []*queue) {
	all := ch.unacked
	ch.unacked = nil
	for i := len(all) - 1; i >= 0; i-- { // the oldest ends up first
		if d := all[i]; d.requeue() {
			touched = append(touched, d.queue)
		}
	}
	return touched
}
