package amqplock

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// standIn consumes from the slot's queue as another holder of it would, and answers as one if it is there.
func standIn(t *testing.T, cfg Config, there bool) (leave func()) {
	t.Helper()
	channel := testChannel(t)
	probes, err := channel.Consume(slotQueue(cfg.Name, 1), "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the channel
		for probe := range probes {
			if there && probe.Type == callType {
				_ = channel.Publish("", probe.RoutingKey, false, false, amqp.Publishing{Type: answerType, MessageId: probe.MessageId})
			}
		}
	}()
	return func() {
		if err := channel.Close(); err != nil {
			t.Error(err)
		}
	}
}

func oneSlot(t *testing.T) Config {
	t.Helper()
	cfg := testConfig(t, Semaphore)
	if err := Adjust(t.Context(), cfg, 1); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Two holders of one slot, as a cluster may make them: the newer one gives way, whatever its own node says of its queue.
func TestSecondHolderGivesWay(t *testing.T) {
	cfg := oneSlot(t)
	standIn(t, cfg, true)
	lost := waitLost(t, mustAcquire(t, cfg))
	if lost.Lock != `slot 1 of semaphore "`+cfg.Name+`"` || !strings.Contains(lost.Reason, "another holder") {
		t.Errorf("lost %s: %s", lost.Lock, lost.Reason)
	}
}

// A holder answers a newer one, and not itself, and keeps the slot.
func TestFirstHolderAnswers(t *testing.T) {
	cfg := oneSlot(t)
	lock := mustAcquire(t, cfg)
	queue := slotQueue(cfg.Name, 1)
	waitFor(t, "the holder consumes", func() bool { return consumers(t, queue) == 1 })
	channel := testChannel(t)
	messages, err := channel.Consume(queue, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{lock.token, lock.token, "newer", "newer"} { // they go to the two in turn
		if err := channel.Publish("", queue, false, false, amqp.Publishing{Type: callType, MessageId: token}); err != nil {
			t.Fatal(err)
		}
	}
	for late := time.After(10 * time.Second); ; {
		select {
		case m := <-messages:
			if m.Type != answerType {
				continue
			}
			if m.MessageId != "newer" {
				t.Errorf("the holder has answered %q", m.MessageId)
			}
		case <-late:
			t.Error("the holder has not answered")
		}
		break
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// A holder that has lost a slot of an elastic set, and goes on with the others, does not answer for it.
func TestHolderAnswersForNoSlotItHasLost(t *testing.T) {
	cfg := testConfig(t, Semaphore)
	cfg.Slots, cfg.Greedy, cfg.Elastic, cfg.retry, cfg.CheckInterval = 2, true, true, time.Hour, 100*time.Millisecond
	changes := make(chan []int, 16)
	cfg.OnChange = func(slots []int) { changes <- slots }
	lock := mustAcquire(t, cfg)
	for slot := range 2 {
		waitFor(t, "the holder consumes", func() bool { return consumers(t, slotQueue(cfg.Name, slot+1)) == 1 })
	}
	s := testSession(t, cfg)
	queue := heldQueue(cfg.Name, 2)
	if err := errors.Join(lock.session.own.remove(queue), s.own.claim(queue)); err != nil {
		t.Fatal(err)
	}
	if got := <-changes; len(got) != 1 || got[0] != 1 {
		t.Fatalf("holds %v, want slot 1", got)
	}
	waitFor(t, "it consumes no longer", func() bool { return consumers(t, slotQueue(cfg.Name, 2)) == 0 })
	channel := testChannel(t)
	messages, err := channel.Consume(slotQueue(cfg.Name, 2), "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	lock.heard(2, amqp.Delivery{Type: callType, MessageId: "newer", RoutingKey: slotQueue(cfg.Name, 2)}, nil)
	if err := channel.Publish("", slotQueue(cfg.Name, 2), false, false, amqp.Publishing{Type: "mark"}); err != nil {
		t.Fatal(err)
	}
	if m := <-messages; m.Type != "mark" {
		t.Errorf("it has sent %q", m.Type)
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// A consumer on a node that is away counts, and does not answer.
func TestConsumerThatDoesNotAnswerIsNoRival(t *testing.T) {
	cfg := oneSlot(t)
	standIn(t, cfg, false)
	called := make(chan struct{}, 1)
	cfg.Logf = func(format string, _ ...any) {
		if strings.Contains(format, "consumer that is away") {
			select {
			case called <- struct{}{}:
			default:
			}
		}
	}
	lock := mustAcquire(t, cfg)
	select {
	case <-called:
	case <-lock.Context().Done():
		t.Errorf("lost: %v", context.Cause(lock.Context()))
	case <-time.After(10 * time.Second):
		t.Error("the roll was not called")
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// Who has just left may be seen for a moment.
func TestHolderThatLeavesIsNoRival(t *testing.T) {
	cfg := oneSlot(t)
	leave := standIn(t, cfg, true)
	lock := mustAcquire(t, cfg)
	waitFor(t, "both consume", func() bool { return consumers(t, slotQueue(cfg.Name, 1)) == 2 })
	leave()
	select {
	case <-lock.Context().Done():
		t.Errorf("lost: %v", context.Cause(lock.Context()))
	case <-time.After(3 * time.Second): // longer than all looks
	}
}

// A node that has not asked the leader of a queue counts no consumer of it, although we are one: that answers nothing.
func TestCountOfNoConsumersIsNoAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 1)
		queue := slotQueue(cfg.Name, 1)
		counted, calls := uint32(0), 0
		p.answer(func(r *request) bool {
			if r.queue == queue && r.method == "publish" && bytes.Contains(r.content, []byte(callType)) {
				calls++
			}
			if r.queue == queue && r.method == "look" && !r.noWait {
				r.send(r.channel, queueDeclareOk, r.queue, uint32(0), counted)
				return true
			}
			return false
		})
		called := func(consumers uint32) int {
			p.mu.Lock()
			defer p.mu.Unlock()
			counted = consumers
			return calls
		}
		lock := mustAcquire(t, cfg)
		pass(2 * rareLook)
		before := called(1)
		if before == 0 {
			t.Error("the roll was not called")
		}
		pass(rareLook)
		if after := called(0); after != before {
			t.Errorf("called %d times more when we were the only consumer", after-before)
		}
		pass(2 * rareLook)
		if after := called(0); after != before {
			t.Errorf("called %d times after an answer", after-before)
		}
		if err := lock.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
