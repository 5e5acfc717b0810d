package locker

import (
	"context"
	"slices"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// slotWatch consumes from the queues of the slots held. The broker notifies a consumer
// that its queue is being deleted; without that the next check in turn finds out. Only
// probes arrive, of no interest.
//
// It uses the publish connection. RabbitMQ 3.10 to 4.3 ends a connection (541) that
// begins to consume from a quorum queue which is just being deleted.
type slotWatch struct {
	*keeper
	channel *amqp.Channel
	removed <-chan string // the consumer tags of deleted queues, see forget
	watched map[int]bool
}

// watchSlots watches until the checks are stopped or conn ends. It leaves removals to
// the checks where the answer about one could end the lock connection, and with it a
// whole set.
func watchSlots(k *keeper, conn *wire.Conn) {
	if wire.FragileAbsence(conn.Config.Vhost, wire.SlotQueue(k.cfg.Name, wire.MaxSlots)) {
		return
	}
	channel, err := wire.CallFor(k.checking, conn.Channel)
	if err != nil {
		return
	}
	w := &slotWatch{
		keeper: k, channel: channel, watched: map[int]bool{},
		// Room for many: the library's reader hands them over. It would wait for us while we
		// wait for an answer that it reads.
		removed: channel.NotifyCancel(make(chan string, 1024)),
	}
	var again <-chan time.Time
	if k.cfg.Elastic { // then there are new slots
		ticker := time.NewTicker(k.cfg.CheckInterval)
		defer ticker.Stop()
		again = ticker.C
	}
	w.run(again)
	for range w.removed { //nolint:revive // more than there is room for would stop the reader
	}
}

func (w *slotWatch) run(again <-chan time.Time) {
	for {
		if slot, err := w.follow(w.checking, w.held.list()); err != nil {
			if wire.Absent(err) { // it was removed before we could watch it
				w.verifyRemoval(slot)
			}
			if w.checking.Err() != nil {
				return
			}
			w.cfg.Debugf("only the checks would notice the removal of a slot: %v", err)
			return
		}
		select {
		case tag, ok := <-w.removed:
			if !ok {
				return
			}
			w.verifyRemoval(w.forget(tag))
		case <-again:
		case <-w.checking.Done():
			return
		}
	}
}

// verifyRemoval looks whether a slot is gone. Its queue, by the broker's notice, is
// being deleted. It may also have moved to another node.
func (w *slotWatch) verifyRemoval(slot int) {
	if !w.held.concerns(slot) {
		return
	}
	queue := wire.SlotQueue(w.cfg.Name, slot)
	err := wire.Call(w.checking, func() error { return w.checker.slots[0].AwaitRemoval(queue) })
	if wire.SlotStands(err) == wire.Lost {
		w.survive(w.checking, &goneError{slot: slot, check: slotCheck, err: err})
	}
}

// follow watches the slots, and no others any more. An error is that of slot failed.
func (w *slotWatch) follow(ctx context.Context, slots []int) (failed int, err error) {
	for slot := range w.watched {
		if !slices.Contains(slots, slot) { // lost from an elastic set, and perhaps another's now
			_ = w.channel.Cancel(strconv.Itoa(slot), true)
			delete(w.watched, slot)
		}
	}
	for _, slot := range slots {
		if w.watched[slot] {
			continue
		}
		probes, err := wire.CallFor(ctx, func() (<-chan amqp.Delivery, error) {
			queue, tag := wire.SlotQueue(w.cfg.Name, slot), strconv.Itoa(slot)
			return w.channel.Consume(queue, tag, true, false, false, false, nil)
		})
		if err != nil {
			return slot, err
		}
		w.watched[slot] = true
		go func() { // ends with the channel, or the consumer
			for range probes { //nolint:revive // what arrives are others' probes
			}
		}()
	}
	return 0, nil
}

// forget is for a notice: it returns the slot, whose consumer is gone.
func (w *slotWatch) forget(tag string) int {
	slot, _ := strconv.Atoi(tag)
	delete(w.watched, slot)
	return slot
}
