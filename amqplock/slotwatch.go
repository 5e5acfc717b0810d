package amqplock

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

// watchSlots consumes the slots' queues while the lock is held. Without that a removal is found by the next check in turn: the broker tells a
// consumer that its queue is being deleted. And it is a sign for others that the slot is held, see lookForRival. What arrives are probes, of no
// interest, and calls of other holders.
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
		held := l.Slots()
		for slot := range watched {
			if !slices.Contains(held, slot) { // lost from an elastic set, and perhaps another's now
				_ = channel.Cancel(strconv.Itoa(slot), true)
				delete(watched, slot)
			}
		}
		for _, slot := range held {
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
			answers := make(chan struct{}, 1)
			l.background.Go(func() {
				for probe := range probes {
					l.heard(slot, probe, answers)
				}
			})
			l.background.Go(func() { l.lookForRival(slot, answers) })
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

var errRival = errors.New("it has another holder, who does not leave: the nodes of the cluster have lost each other, and granted it twice")

// lookForRival gives a new slot up that has a holder already. A cluster with Mnesia whose nodes lose each other for a moment grants an exclusive
// queue again, and each side goes on with its own view of it; but what a quorum queue does is agreed on by Raft, and every
// holder consumes from its slot's queue. So the newer one of the two finds out. RabbitMQ also counts the consumers on a node that is away:
// therefore the other one has to answer, through the same queue, which both sides reach.
//
// It looks for half a second, since who has just left may be seen for a moment, and goes on for as long as somebody is seen that does not answer.
func (l *Lock) lookForRival(slot int, answers <-chan struct{}) {
	queue := slotQueue(l.session.cfg.Name, slot)
	pace := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0), backoff.WithMaxInterval(rareLook), backoff.WithMaxElapsedTime(0))
	for looks := 0; ; looks++ {
		n, err := timedFor(l.checking, l.session, "look for another holder", func(context.Context) (int, error) {
			return l.session.slot.consumers(queue)
		})
		if err != nil || n == 1 { // 0 says that the queue's leader was not asked: we are one
			return
		}
		if looks >= patientLooks {
			l.callRoll(queue, callType, l.token)
		}
		select {
		case <-answers:
			l.survive(l.checking, &goneError{slot: slot, check: "slot check", err: errRival})
			return
		case <-time.After(pace.NextBackOff()):
		case <-l.checking.Done():
			return
		}
	}
}

const (
	patientLooks = 3 // at 0, 0.1 and 0.3 s: before the first call
	rareLook     = 30 * time.Second
	rollCalls    = 8 // the consumers of a queue get its messages in turn
	callType     = "who holds"
	answerType   = "held"
)

// callRoll sends messages about the holder token to the slot's queue: a call by it, or the answers to it. That they get there is not promised, and
// not needed: the next call comes.
func (l *Lock) callRoll(queue, messageType, token string) {
	scout := l.session.scouts.Load()
	if scout == nil || scout.talk == nil || scout.talk.blocked.Load() {
		return
	}
	err := l.session.timed(l.checking, "call another holder", func() error {
		channel, err := scout.talk.Channel()
		if err != nil {
			return err
		}
		defer func() { go func() { _ = channel.Close() }() }() // which hangs in an alarm, until the connection ends
		for range rollCalls {
			if err := channel.Publish("", queue, false, false, amqp.Publishing{Type: messageType, MessageId: token}); err != nil {
				return err
			}
		}
		return nil
	})
	l.session.cfg.Logf("%s has more than one holder, or a consumer that is away: %q (%v)", queue, messageType, err)
}

// heard answers a newer holder of a slot that is ours, and notes the answer of an older one.
func (l *Lock) heard(slot int, probe amqp.Delivery, answers chan<- struct{}) {
	switch {
	case probe.Type == callType && probe.MessageId != l.token && slices.Contains(l.Slots(), slot):
		l.callRoll(probe.RoutingKey, answerType, probe.MessageId)
	case probe.Type == answerType && probe.MessageId == l.token:
		select {
		case answers <- struct{}{}:
		default:
		}
	}
}
