package cli

import (
	"context"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
)

func destroy(o *options, c *console.Console) error {
	if err := findOnly(o); err != nil {
		return err
	}
	client, err := connect(o, c)
	if err != nil {
		return err
	}
	if o.Lock.Kind == amqplock.KindMutex {
		return client.DestroyMutex(context.Background(), o.Lock.Name)
	}
	return client.Semaphore(o.Lock.Name).Destroy(context.Background())
}
