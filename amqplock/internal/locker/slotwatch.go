package locker

import (
	"context"
	"slices"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// slotWatch consumes from the queues of slots, for the broker's notice that one is being deleted.
type slotWatch struct {
	name    string
	channel *amqp.Channel
	removed <-chan string // the consumer tags of deleted queues, see forget
	watched map[int]bool
}

func newSlotWatch(ctx context.Context, lock *wire.Conn, cfg Config) (*slotWatch, error) {
	channel, err := wire.CallFor(ctx, func() (*amqp.Channel, error) { return lock.Channel() })
	if err != nil {
		return nil, err
	}
	return &slotWatch{
		name: cfg.Name, channel: channel, watched: map[int]bool{},
		// Room for many: the library's reader hands them over, and would wait for us while we wait
		// for an answer that it reads.
		removed: channel.NotifyCancel(make(chan string, 1024)),
	}, nil
}

// follow watches the slots, and no others any more.
func (w *slotWatch) follow(ctx context.Context, slots []int) error {
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
			queue, tag := wire.SlotQueue(w.name, slot), strconv.Itoa(slot)
			return w.channel.Consume(queue, tag, true, false, false, false, nil)
		})
		if err != nil {
			return err
		}
		w.watched[slot] = true
		go func() { // ends with the channel, or the consumer
			for range probes { //nolint:revive // what arrives are others' probes
			}
		}()
	}
	return nil
}

// forget is for a notice: it returns the slot, whose consumer is gone.
func (w *slotWatch) forget(tag string) int {
	slot, _ := strconv.Atoi(tag)
	delete(w.watched, slot)
	return slot
}
