package wire

import (
	"context"
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

// Each answer has one meaning. The texts are RabbitMQ's.
func TestVerdicts(t *testing.T) {
	reply := func(code int, reason string) error {
		return &amqp.Error{Code: code, Reason: reason, Server: true}
	}
	tests := []struct {
		name                      string
		err                       error
		ownership, slot, majority Verdict
	}{
		{"ok", nil, Held, Held, Held},
		{"404 no queue", reply(404, "NOT_FOUND - no queue 'x' in vhost '/'"), Lost, Lost, Unknown},
		{
			"404 home node down",
			reply(
				404,
				"NOT_FOUND - home node 'rabbit@a' of durable queue 'x' in vhost '/' is down or inaccessible",
			),
			Lost,
			Unknown,
			Unknown,
		},
		{
			"404 timeout",
			reply(404, "NOT_FOUND - failed to perform operation on queue 'x' in vhost '/' due to timeout"),
			Lost,
			Unknown,
			Unknown,
		},
		{
			"405",
			reply(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'x'"),
			Lost,
			Unknown,
			Unknown,
		},
		{"403", reply(403, "ACCESS_REFUSED - access to queue 'x' refused"), Unknown, Unknown, Unknown},
		{"406", reply(406, "PRECONDITION_FAILED"), Unknown, Unknown, Unknown},
		{
			"320",
			reply(320, "CONNECTION_FORCED - broker forced connection closure"),
			Unknown,
			Unknown,
			Unknown,
		},
		{"541", reply(541, "INTERNAL_ERROR"), Unknown, Unknown, Unknown},
		{"closed by the library", amqp.ErrClosed, Unknown, Unknown, Unknown},
		{
			"a 404 that the broker did not send",
			&amqp.Error{Code: 404, Reason: "?"},
			Unknown,
			Unknown,
			Unknown,
		},
		{"no answer", context.DeadlineExceeded, Unknown, Unknown, Unknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Ownership(test.err); got != test.ownership {
				t.Errorf("ownership: %d, want %d", got, test.ownership)
			}
			if got := SlotStands(test.err); got != test.slot {
				t.Errorf("slot: %d, want %d", got, test.slot)
			}
			if got := Majority(test.err); got != test.majority {
				t.Errorf("majority: %d, want %d", got, test.majority)
			}
		})
	}
}

func TestRefusedKeepsKinds(t *testing.T) {
	for _, test := range []struct{ err, kind error }{
		{&amqp.Error{Code: 403, Server: true}, fault.ErrAccess},
		{context.DeadlineExceeded, fault.ErrUnreachable},
		{amqp.ErrClosed, fault.ErrUnreachable},
		{&fault.Error{Kind: fault.ErrNotALock}, fault.ErrNotALock},
		{fault.ErrBusy, fault.ErrBusy},
		{context.Canceled, context.Canceled},
	} {
		if got := Refused("broker", "claim", test.err); !errors.Is(got, test.kind) ||
			!errors.Is(got, test.err) {
			t.Errorf("Refused(%v) = %v, want it to be %v", test.err, got, test.kind)
		}
	}
	if Refused("broker", "claim", nil) != nil {
		t.Error("no error became one")
	}
}
