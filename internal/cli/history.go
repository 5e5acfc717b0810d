package cli

import (
	"context"
	"os"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
)

func historyOptions(o *options) []*option {
	o.last = 20
	return append(lockOptions(o),
		value("n", &o.last, number), toggle("json", &o.json), toggle("follow", &o.follow))
}

// history shows the last runs under a lock. With --follow it goes on until a signal ends
// amqprun, or the connection ends.
func history(o *options, c *console.Console) error {
	if err := findOnly(o); err != nil {
		return err
	}
	if o.last < 1 {
		return exit.Usagef("-n %d: must be at least 1", o.last)
	}
	client, err := connect(o, c)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if o.follow {
		return follow(ctx, o, client)
	}
	runs, err := client.History(ctx, o.Lock, o.last)
	switch {
	case err != nil:
		return err
	case o.json:
		return console.WriteHistoryJSON(os.Stdout, o.Lock, runs)
	}
	return console.WriteHistory(os.Stdout, runs)
}

// follow ends early when nobody reads what it writes.
func follow(ctx context.Context, o *options, client *amqplock.Client) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	write := console.WriteRun
	if o.json {
		write = console.WriteRunJSON
	}
	err := client.FollowHistory(ctx, o.Lock, o.last, func(run amqplock.Run) {
		if err := write(os.Stdout, run); err != nil {
			cancel(err)
		}
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
