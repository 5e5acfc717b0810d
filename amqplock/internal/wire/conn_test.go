package wire

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
)

func TestFailedWriteEndsThePublishConnection(t *testing.T) {
	t.Parallel()
	var tears atomic.Bool
	b, err := Broker{
		URLs: []string{testbroker.URL(t)},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return testbroker.Torn{Conn: conn, From: &tears}, err
		},
	}.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(*Conn, *Channel) error{
		"at once": func(_ *Conn, channel *Channel) error {
			return channel.Publish("", "nowhere", false, false, amqp.Publishing{})
		},
		"held": func(c *Conn, channel *Channel) error {
			c.batch.hold()
			if err := channel.Publish("", "nowhere", false, false, amqp.Publishing{}); err != nil {
				t.Error(err)
			}
			return c.batch.send()
		},
	} {
		tears.Store(false)
		c, err := b.Open(t.Context(), ForPublish)
		if err != nil {
			t.Fatal(err)
		}
		channel, err := OpenChannel(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		tears.Store(true)
		if write(c, channel) == nil || !c.IsClosed() {
			t.Errorf("%s: closed: %t", name, c.IsClosed())
		}
		c.Abort()
	}
}
