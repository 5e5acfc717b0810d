package job

import (
	"context"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// releaseTimeout bounds the release. A broker that does not answer frees the lock when
// the socket is closed.
const releaseTimeout = 5 * time.Second

func release(lock *amqplock.Lock) error {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	return lock.Release(ctx)
}
