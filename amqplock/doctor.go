package amqplock

import (
	"context"

	"github.com/amqprun/amqprun/amqplock/internal/doctor"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Finding is the answer to one question of Examine.
type Finding struct {
	Check string `json:"check"` // what was looked at, such as "version"
	Level string `json:"level"` // "ok", "warning" or "failure"
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"` // what to do about it, if that is known
	Err   error  `json:"-"`             // of a failure, an *Error
}

// Examine looks whether lock can work on the broker: connection, login, version, timings,
// alarms, and each permission of a holder and waiter. Those of an Admin are left out. It
// takes no lock and leaves nothing on the broker but error lines in its log. The zero Ref
// is no lock; then the permissions on its queues are left out. It looks at one node of
// Broker.URLs after the other. Where there is no connection that is the only finding.
// Each question has Broker.ConnectTimeout.
func (c *Client) Examine(ctx context.Context, lock Ref) []Finding {
	var list []Finding
	for _, node := range c.broker.Each() {
		for _, f := range doctor.Examine(ctx, node, wire.Ref(lock)) {
			f.Err = exported(ctx, f.Err)
			list = append(list, Finding(f))
		}
	}
	return list
}
