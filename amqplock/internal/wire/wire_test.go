package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node that has refused us is not asked again, and the others are, with their own user
// and password. One that was forgiven is.
func TestARefusalIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	right := testbroker.URL(t)
	uri, err := amqp.ParseURI(right)
	if err != nil {
		t.Fatal(err)
	}
	if uri.Host != "127.0.0.1" {
		t.Skip("the broker is not at 127.0.0.1")
	}
	refuses := fmt.Sprintf("localhost:%d", uri.Port) // the same broker
	asked := 0
	b, err := Broker{
		URLs: []string{fmt.Sprintf("amqp://guest:wrong@%s/", refuses), right},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == refuses {
				asked++
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	open := func() {
		t.Helper()
		b.nodes.start = 0 // as after a loss of the other
		c, err := b.Open(t.Context(), ForPublish)
		if err != nil {
			t.Fatal(err)
		}
		c.Abort()
	}
	open()
	open()
	if asked != 1 {
		t.Errorf("it was asked %d times, want 1", asked)
	}
	b.Forgive()
	open()
	if asked != 2 {
		t.Errorf("after it was forgiven it was asked %d times, want 2", asked)
	}
	again := b.Afresh()
	if again.nodes.refusal(again.nodes.list[0]) != nil {
		t.Error("another party knows of the refusal")
	}
	b.nodes.list = append(
		b.nodes.list[:1:1],
		&node{label: "x", uri: amqp.URI{Host: "127.0.0.1", Port: 1}},
	)
	b.nodes.start = 0
	_, err = b.Open(t.Context(), ForLock)
	var e *fault.Error
	if !errors.As(err, &e) || !errors.Is(err, fault.ErrAccess) ||
		!strings.Contains(e.Hint, "check user and password") ||
		!strings.Contains(e.Text, `refused the login of user "guest"; cannot reach`) {
		t.Errorf("got %v", err)
	}
}

// A reply that the library has not set is no answer of the broker.
func TestNilReplyIsNoAnswer(t *testing.T) {
	t.Parallel()
	if Code((*amqp.Error)(nil)) != 0 || Absent((*amqp.Error)(nil)) ||
		Concerns((*amqp.Error)(nil), "x") {
		t.Error("a nil *amqp.Error is taken for an answer")
	}
}
