package amqplock

import (
	"context"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// standIn consumes from the slot's queue as another holder of it would.
func standIn(t *testing.T, cfg Config, slot int) (leave func()) {
	t.Helper()
	channel := testChannel(t)
	if _, err := channel.Consume(slotQueue(cfg.Name, slot), "", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := channel.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Two holders of one slot, as a cluster may make them: the newer one gives way, whatever its own node says of its queue.
func TestSecondHolderGivesWay(t *testing.T) {
	cfg := testConfig(t, Semaphore)
	if err := Adjust(t.Context(), cfg, 1); err != nil {
		t.Fatal(err)
	}
	standIn(t, cfg, 1)
	lost := waitLost(t, mustAcquire(t, cfg))
	if lost.Lock != `slot 1 of semaphore "`+cfg.Name+`"` || !strings.Contains(lost.Reason, "another holder") {
		t.Errorf("lost %s: %s", lost.Lock, lost.Reason)
	}
}

// A consumer on a node that is away counts and gets nothing. Here it is one that may have no more messages before it acknowledges the first.
func TestConsumerThatTakesNothingIsNoRival(t *testing.T) {
	cfg := testConfig(t, Semaphore)
	if err := Adjust(t.Context(), cfg, 1); err != nil {
		t.Fatal(err)
	}
	channel, queue := testChannel(t), slotQueue(cfg.Name, 1)
	if err := channel.Qos(1, 0, false); err != nil {
		t.Fatal(err)
	}
	messages, err := channel.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.Publish("", queue, false, false, amqp.Publishing{}); err != nil {
		t.Fatal(err)
	}
	<-messages
	called := make(chan struct{}, 1)
	cfg.Logf = func(format string, _ ...any) {
		if strings.Contains(format, "takes nothing") {
			called <- struct{}{}
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
	cfg := testConfig(t, Semaphore)
	if err := Adjust(t.Context(), cfg, 1); err != nil {
		t.Fatal(err)
	}
	leave := standIn(t, cfg, 1)
	lock := mustAcquire(t, cfg)
	waitFor(t, "both consume", func() bool { return consumers(t, slotQueue(cfg.Name, 1)) == 2 })
	leave()
	select {
	case <-lock.Context().Done():
		t.Errorf("lost: %v", context.Cause(lock.Context()))
	case <-time.After(3 * time.Second): // longer than all looks
	}
}
