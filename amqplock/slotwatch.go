package amqplock

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// watchSlots consumes the slots' queues while the lock is held. Without that a removal is found by the next check in turn: the broker tells a
// consumer that its queue is being deleted. And it is a sign for others that the slot is held, see lookForRival. What arrives are probes, of no
// interest, and roll calls.
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
			l.background.Go(func() {
				for probe := range probes {
					l.answerRollCall(probe)
				}
			})
			l.background.Go(func() { l.lookForRival(slot) })
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
// holder consumes from its slot's queue. So the newer one of the two finds out. RabbitMQ also counts the consumers on a node that is away:
// therefore the other one has to answer.
func (l *Lock) lookForRival(slot int) {
	queue := slotQueue(l.session.cfg.Name, slot)
	for _, pause := range rivalLooks {
		select {
		case <-time.After(pause):
		case <-l.checking.Done():
			return
		}
		n, err := callFor(l.checking, func() (int, error) { return l.session.slot.consumers(queue) })
		if err != nil || n == 1 { // 0 says that the queue's leader was not asked: we are one
			return
		}
	}
	scout := l.session.scouts.Load()
	if scout == nil || scout.talk == nil {
		return
	}
	answered, err := callFor(l.checking, func() (bool, error) { return rollCall(l.checking, scout.talk, queue, l.token) })
	if !answered {
		l.session.cfg.Logf("slot %d has another consumer, which does not answer: it is not there any more (%v)", slot, err)
		return
	}
	l.survive(l.checking, &goneError{slot: slot, check: "slot check", err: errRival})
}

const (
	rollCalls  = 8           // the consumers of a queue get messages in turn
	answerTime = time.Second // after which nobody will answer
)

// rollCall asks all who consume from a slot's queue for an answer, and tells whether one came. Whose token it is does not answer.
func rollCall(ctx context.Context, talk *conn, queue, token string) (answered bool, err error) {
	channel, err := talk.Channel()
	if err != nil {
		return false, err
	}
	defer func() { go func() { _ = channel.Close() }() }() // which hangs in an alarm, until the connection ends
	answers, err := channel.Consume(replyPrefix, "", true, false, false, false, nil)
	if err != nil {
		return false, err
	}
	for range rollCalls {
		if err := channel.Publish("", queue, false, false, amqp.Publishing{MessageId: token, ReplyTo: replyPrefix}); err != nil {
			return false, err
		}
	}
	late := time.NewTimer(answerTime)
	defer late.Stop()
	select {
	case _, answered = <-answers:
	case <-late.C:
	case <-ctx.Done():
	}
	return answered, nil
}

// answerRollCall answers a newer holder of a slot that is ours.
func (l *Lock) answerRollCall(probe amqp.Delivery) {
	scout := l.session.scouts.Load()
	if !strings.HasPrefix(probe.ReplyTo, replyPrefix) || probe.MessageId == l.token || scout == nil || scout.talk == nil {
		return
	}
	err := call(l.checking, func() error {
		channel, err := scout.talk.Channel()
		if err != nil {
			return err
		}
		defer func() { go func() { _ = channel.Close() }() }()
		return channel.Publish("", probe.ReplyTo, false, false, amqp.Publishing{})
	})
	l.session.cfg.Logf("another holder of a slot of ours has called: answered (%v)", err)
}
