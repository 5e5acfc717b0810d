package locker

import (
	"strings"
	"testing"

	"github.com/amqprun/amqprun/amqplock/internal/lease"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Somebody who answers may name any queue as the lock that he holds. The asker may write
// to it, and does not.
func TestNamesThatOthersGiveAreNotPublishedTo(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, wire.Mutex)
	cfg.Name += "-größe" + strings.Repeat("x", 40)
	channel := testChannel(t)
	if _, err := channel.QueueDeclare(cfg.Name, false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = channel.QueueDelete(cfg.Name, false, false, false) })
	link := testSession(t, cfg)
	liar := presence.New(cfg.Ref, link.Broker, lease.BootClock{}, 0, func() presence.About {
		return presence.About{ID: cfg.Name[:40]}
	})
	liar.Holds(presence.Holding{Slots: func() []int { return []int{0} }})
	if err := link.OpenPublish(t.Context()); err != nil {
		t.Fatal(err)
	}
	liar.Appear(link.Publish())
	waitFor(t, "the answer", func() bool {
		all, err := InspectAll(t.Context(), cfg.Broker)
		if err != nil {
			t.Fatal(err)
		}
		for _, seen := range all {
			if seen.Lock == cfg.Ref {
				return seen.Held == 1
			}
		}
		return false
	})
	q, err := channel.QueueDeclarePassive(cfg.Name, false, false, false, false, nil)
	if err != nil || q.Messages != 0 {
		t.Errorf("%d messages, %v; want none", q.Messages, err)
	}
}
