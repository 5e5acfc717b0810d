package amqplock

import (
	"context"
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Each answer has one meaning. The texts are RabbitMQ's.
func TestVerdicts(t *testing.T) {
	reply := func(code int, reason string) error { return &amqp.Error{Code: code, Reason: reason, Server: true} }
	tests := []struct {
		name                      string
		err                       error
		ownership, slot, majority verdict
	}{
		{"ok", nil, held, held, held},
		{"404 no queue", reply(404, "NOT_FOUND - no queue 'x' in vhost '/'"), lost, lost, unknown},
		{"404 home node down", reply(404, "NOT_FOUND - home node 'rabbit@a' of durable queue 'x' in vhost '/' is down or inaccessible"), lost, unknown, unknown},
		{"404 timeout", reply(404, "NOT_FOUND - failed to perform operation on queue 'x' in vhost '/' due to timeout"), lost, unknown, unknown},
		{"405", reply(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'x'"), lost, unknown, unknown},
		{"403", reply(403, "ACCESS_REFUSED - access to queue 'x' refused"), unknown, unknown, unknown},
		{"406", reply(406, "PRECONDITION_FAILED"), unknown, unknown, unknown},
		{"320", reply(320, "CONNECTION_FORCED - broker forced connection closure"), unknown, unknown, unknown},
		{"541", reply(541, "INTERNAL_ERROR"), unknown, unknown, unknown},
		{"closed by the library", amqp.ErrClosed, unknown, unknown, unknown},
		{"a 404 that the broker did not send", &amqp.Error{Code: 404, Reason: "?"}, unknown, unknown, unknown},
		{"no answer", context.DeadlineExceeded, unknown, unknown, unknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := ownership(test.err); got != test.ownership {
				t.Errorf("ownership: %d, want %d", got, test.ownership)
			}
			if got := slotStands(test.err); got != test.slot {
				t.Errorf("slot: %d, want %d", got, test.slot)
			}
			if got := majority(test.err); got != test.majority {
				t.Errorf("majority: %d, want %d", got, test.majority)
			}
		})
	}
}

func TestRefusedKeepsKinds(t *testing.T) {
	for _, test := range []struct{ err, kind error }{
		{&amqp.Error{Code: 403, Server: true}, ErrAccess},
		{context.DeadlineExceeded, ErrUnreachable},
		{amqp.ErrClosed, ErrUnreachable},
		{&Error{Kind: ErrNotALock}, ErrNotALock},
		{errBusy, errBusy},
		{context.Canceled, context.Canceled},
	} {
		if got := refused("broker", "claim", test.err); !errors.Is(got, test.kind) || !errors.Is(got, test.err) {
			t.Errorf("refused(%v) = %v, want it to be %v", test.err, got, test.kind)
		}
	}
	if refused("broker", "claim", nil) != nil {
		t.Error("no error became one")
	}
}
