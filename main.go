// Command amqprun runs a command under a lock that is held in RabbitMQ: a mutex, or slots
// of a semaphore.
package main

import (
	"os"
	"runtime"

	"github.com/amqprun/amqprun/internal/cli"
	"github.com/amqprun/amqprun/internal/secret"
	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
)

// version is that of the newest section of CHANGELOG.md. The build of a release may set
// it: -ldflags '-X main.version=1.2.3'.
var version = "0.1.0"

func main() {
	if runner.IsGuard() {
		os.Exit(runner.RunGuard())
	}
	secret.HideArguments()
	// Nothing here computes. More threads would only wake one another, on processors that
	// the broker and the command need.
	runtime.GOMAXPROCS(1)
	outcome := cli.Main(os.Args, version)
	if outcome.Signal != 0 {
		signals.DieOf(outcome.Signal) // returns where the kernel spares us: as PID 1
	}
	os.Exit(outcome.Code)
}
