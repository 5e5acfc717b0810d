package broker

import "slices"

// deliveries are the messages that a channel was given, and has not acknowledged.
type deliveries struct {
	newest  uint64 // tag
	unacked []*delivery
}

// delivery is one of them. It counts for its consumer.
type delivery struct {
	tag      uint64
	message  *message
	consumer *consumer
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

// add notes a delivery, and returns its tag.
func (ds *deliveries) add(m *consumer, msg *message) uint64 {
	ds.newest++
	if !m.noAck {
		ds.unacked = append(ds.unacked, &delivery{ds.newest, msg, m})
		m.open++
	}
	return ds.newest
}

// settle ends the responsibility of the channel for a message, or for all up to it.
func (ds *deliveries) settle(tag uint64, multiple bool, end fate) *exception {
	var settled []*delivery
	ds.unacked = slices.DeleteFunc(ds.unacked, func(d *delivery) bool {
		upTo := multiple && (d.tag < tag || tag == 0)
		if d.tag != tag && !upTo {
			return false
		}
		settled = append(settled, d)
		return true
	})
	if len(settled) == 0 && !multiple && tag > ds.newest {
		return refuse(codePreconditionFailed, "PRECONDITION_FAILED - unknown delivery tag %d", tag)
	}
	for _, d := range settled { // a dead letter may come back at once
		d.consumer.open--
		switch end {
		case requeued:
			d.consumer.queue.putBack(d.message)
		case rejected:
			d.consumer.queue.bury(d.message, "rejected")
		}
	}
	for _, d := range settled {
		d.consumer.queue.deliver()
	}
	return nil
}

// giveBack gives back all, and returns the queues that have something to deliver again.
func (ds *deliveries) giveBack() (touched []*queue) {
	all := ds.unacked
	ds.unacked = nil
	for _, d := range slices.Backward(all) { // the oldest ends up first
		if q := d.consumer.queue; q.putBack(d.message) {
			touched = append(touched, q)
		}
	}
	return touched
}

// forget is for a consumer whose queue is gone.
func (ds *deliveries) forget(m *consumer) {
	ds.unacked = slices.DeleteFunc(ds.unacked, func(d *delivery) bool { return d.consumer == m })
}
