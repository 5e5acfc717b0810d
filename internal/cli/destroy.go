package cli

import (
	"context"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
)

func destroyOptions(o *options) []*option {
	return append(brokerOptions(o), semaphoreOption(o), mutexOption(o))
}

func destroy(o *options, c *console.Console) error {
	if err := findLock(o); err != nil {
		return err
	}
	if err := noArguments(o); err != nil {
		return err
	}
	client, err := connect(o, c)
	if err != nil {
		return err
	}
	if o.lock.Kind == amqplock.KindMutex {
		return client.DestroyMutex(context.Background(), o.lock.Name)
	}
	return client.Semaphore(o.lock.Name).Destroy(context.Background())
}
