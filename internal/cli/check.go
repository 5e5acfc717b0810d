package cli

import (
	"context"

	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
)

func checkOptions(o *options) []*option {
	return append(lockOptions(o), conflictOption(o))
}

// check says by its exit status alone whether the lock could be taken now.
func check(o *options, c *console.Console) (exit.Outcome, error) {
	if err := findOnly(o); err != nil {
		return exit.Outcome{}, err
	}
	client, err := connect(o, c)
	if err != nil {
		return exit.Outcome{}, err
	}
	s, err := client.Look(context.Background(), o.Lock)
	if err == nil && (s.Free == 0 || s.Drain != nil && s.Drain.Free == 0) {
		return exit.Outcome{Code: o.Conflict}, nil
	}
	return exit.Outcome{}, err
}
