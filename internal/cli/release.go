package cli

import (
	"os"

	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
	background "github.com/amqprun/amqprun/internal/hold"
	"github.com/amqprun/amqprun/internal/job"
)

// release gives back the lock of amqprun hold, and returns when that is done. It has no
// options of a broker: the process that holds the lock is connected to it.
func release(o *options, _ *console.Console) error {
	if err := noArguments(o); err != nil {
		return err
	}
	socket := os.Getenv(background.Variable)
	if socket == "" {
		return &exit.UsageError{
			Text: "there is nothing to release: " + background.Variable + " is not set",
			Hint: `a lock is held after: lock=$(amqprun hold --mutex NAME) || exit; eval "$lock"`,
		}
	}
	return job.Released(background.Release(socket))
}
