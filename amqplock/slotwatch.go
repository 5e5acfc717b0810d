package amqplock

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// watchSlots consumes the slots' queues while the lock is held. Without that a removal is found by the next check in turn: the broker tells a
// consumer that its queue is being deleted. And it is a sign for others that the slot is held, see lookForRival. What arrives are probes,
// of no interest.
func (l *Lock) watchSlots() {
	s := l.session
	channel, err := callFor(l.checking, func() (*amqp.Channel, error) { return s.hold.Channel() })
	if err != nil {
		return
	}
	defer channel.Close() // before the connection ends, lest the next holder take us for one
	// Room for many: the library's reader hands them over, and would wait for us while we wait for an answer that it reads.
	removed := channel.NotifyCancel(make(chan string, 1024))
	watched := map[int]bool{}
	var again <-chan time.Time
	if s.cfg.Elastic { // then there are new slots
		ticker := time.NewTicker(s.cfg.CheckInterval)
		defer ticker.Stop()
		again = ticker.C
	}
	for {
		for _, slot := range l.Slots() {
			if watched[slot] {
				continue
			}
			probes, err := callFor(l.checking, func() (<-chan amqp.Delivery, error) {
				return channel.Consume(slotQueue(s.cfg.Name, slot), strconv.Itoa(slot), true, false, false, false, nil)
			})
			if err != nil {
				s.cfg.Logf("a removal of slot %d will be found by the checks alone: %v", slot, err)
				return
			}
			watched[slot] = true
			echoes := make(chan string, 2*rollCalls)
			l.background.Go(func() {
				for probe := range probes {
					select {
					case echoes <- probe.MessageId:
					default: // nobody has called
					}
				}
			})
			l.background.Go(func() { l.lookForRival(slot, echoes) })
		}
		select {
		case tag, ok := <-removed:
			if !ok {
				return
			}
			slot, _ := strconv.Atoi(tag)
			delete(watched, slot)
			l.verifyRemoval(slot)
		case <-again:
		case <-l.checking.Done():
			return
		}
	}
}

// verifyRemoval is told that a slot's queue is being deleted; it may also have moved to another node.
func (l *Lock) verifyRemoval(slot int) {
	if !slices.Contains(l.Slots(), slot) {
		return
	}
	err := call(l.checking, func() error { return l.session.slot.removed(slotQueue(l.session.cfg.Name, slot)) })
	if slotStands(err) == lost {
		l.survive(l.checking, &goneError{slot: slot, check: "slot check", err: err})
	}
}

// rivalLooks are the pauses between the looks for another holder. Who has just left may still be seen for a moment.
var rivalLooks = []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 600 * time.Millisecond}

var errRival = errors.New("it has another holder, who does not leave: the nodes of the cluster have lost each other, and granted it twice")

// lookForRival gives a new slot up that has a holder already. A cluster with Mnesia whose nodes lose each other for a moment grants an exclusive
// queue again, and each side goes on with its own view of it; but what consumes from a quorum queue is agreed on by Raft, and every
// holder consumes from its slot's queue. So the newer one of the two finds out.
func (l *Lock) lookForRival(slot int, echoes <-chan string) {
	queue := slotQueue(l.session.cfg.Name, slot)
	for _, pause := range rivalLooks {
		select {
		case <-time.After(pause):
		case <-l.checking.Done():
			return
		}
		n, err := callFor(l.checking, func() (int, error) { return l.session.slot.consumers(queue) })
		if err != nil || n < 2 {
			return
		}
	}
	for range 2 { // once may be an accident
		ctx, cancel := context.WithTimeout(l.checking, l.session.cfg.ConnectTimeout)
		alone, err := l.rollCall(ctx, queue, echoes)
		cancel()
		if alone || err != nil {
			l.session.cfg.Logf("slot %d has another consumer, which takes nothing: it is on a node that is away (%v)", slot, err)
			return
		}
	}
	l.survive(l.checking, &goneError{slot: slot, check: "slot check", err: errRival})
}

const (
	rollCalls = 8
	echoTime  = time.Second / 2 // for the way back of messages that the queue has confirmed
)

// rollCall tells whether all messages to the slot's queue come to us. RabbitMQ also counts the consumers on a node that is away; but it sends them
// nothing, while two that are there get messages in turn.
func (l *Lock) rollCall(ctx context.Context, queue string, echoes <-chan string) (alone bool, err error) {
	scout := l.session.scouts.Load()
	if scout == nil || scout.talk == nil {
		return false, errNoScout
	}
	id := rand.Text()
	err = call(ctx, func() error { return callRoll(ctx, scout.talk, queue, id) })
	if err != nil {
		return false, err
	}
	late := time.NewTimer(echoTime)
	defer late.Stop()
	for n := 0; n < rollCalls; {
		select {
		case echo := <-echoes:
			if echo == id {
				n++
			}
		case <-late.C:
			return false, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	return true, nil
}

// callRoll returns when the queue has confirmed the messages.
func callRoll(ctx context.Context, talk *conn, queue, id string) error {
	channel, err := talk.Channel()
	if err != nil {
		return err
	}
	defer channel.Close()
	if err := channel.Confirm(false); err != nil {
		return err
	}
	for range rollCalls {
		confirmation, err := channel.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{MessageId: id})
		if err != nil {
			return err
		}
		taken, err := confirmation.WaitContext(ctx)
		if err == nil && !taken {
			err = errors.New("the slot's queue takes no messages")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
