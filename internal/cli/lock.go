package cli

import (
	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/internal/job"
)

// lockOptions name a lock, and the broker.
func lockOptions(o *options) []*option {
	return append(brokerOptions(o), semaphoreOption(o), value("mutex", &o.mutex, givenOnce()))
}

func semaphoreOption(o *options) *option {
	return value("semaphore", &o.semaphore, givenOnce())
}

func conflictOption(o *options) *option {
	return value("conflict-exit-code E", &o.Conflict, exitStatus)
}

// findAny is findOnly for a subcommand that needs no lock.
func findAny(o *options) error {
	if o.namesLock() {
		return findOnly(o)
	}
	if err := findBroker(o); err != nil {
		return err
	}
	return noArguments(o)
}

// findOnly is findLock for a subcommand that takes no arguments.
func findOnly(o *options) error {
	if err := findLock(o); err != nil {
		return err
	}
	return noArguments(o)
}

// findLock fills in which lock is meant, and where it is.
func findLock(o *options) error {
	switch mutex, semaphore := o.given["mutex"], o.given["semaphore"]; {
	case mutex && semaphore:
		return exit.Usagef("--mutex and --semaphore exclude each other")
	case mutex:
		o.Lock = amqplock.Mutex(o.mutex)
	case semaphore:
		o.Lock = amqplock.Semaphore(o.semaphore)
	default:
		return noLock(o)
	}
	return findBroker(o)
}

// connect returns the client of a subcommand. Nothing is contacted yet.
func connect(o *options, c *console.Console) (*amqplock.Client, error) {
	o.Broker.ConnectionName = job.ConnectionName(o.subcommand + " " + o.Lock.Name)
	o.Broker.Log = c.Logger()
	return amqplock.New(o.Broker)
}
