package cli

import (
	"context"

	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/internal/job"
)

func evictOptions(o *options) []*option {
	return append(lockOptions(o),
		value("holder", &o.holder, givenOnce()))
}

// evict returns when the holder has confirmed that it stops.
func evict(o *options, c *console.Console) error {
	if err := findOnly(o); err != nil {
		return err
	}
	if o.holder == "" {
		return &exit.UsageError{
			Text: "no holder is named", Hint: "name it with --holder ID; amqprun status lists the IDs",
		}
	}
	client, err := connect(o, c)
	if err != nil {
		return err
	}
	return client.Evict(context.Background(), o.Lock, o.holder, job.WhoAmI())
}
