package cli

import (
	"context"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
)

func checkOptions(o *options) []*option {
	return append(brokerOptions(o), semaphoreOption(o), mutexOption(o), conflictOption(o))
}

// check says by its exit status alone whether the lock could be taken now.
func check(o *options, c *console.Console) (exit.Outcome, error) {
	err := findLock(o)
	if err == nil {
		err = noArguments(o)
	}
	var client *amqplock.Client
	if err == nil {
		client, err = connect(o, c)
	}
	var s amqplock.Status
	if err == nil {
		s, err = client.Look(context.Background(), o.lock)
	}
	if err == nil && (s.Free == 0 || s.Drain != nil && s.Drain.Free == 0) {
		return exit.Outcome{Code: o.conflictCode}, nil
	}
	return exit.Of(err, o.conflictCode), err
}
