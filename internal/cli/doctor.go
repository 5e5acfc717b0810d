package cli

import (
	"context"
	"os"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/doctor"
	"github.com/amqprun/amqprun/internal/exit"
)

func doctorOptions(o *options) []*option {
	return append(lockOptions(o), toggle("json", &o.json))
}

// checkup looks whether amqprun can work here, and prints a line for each thing that it
// has looked at. The status is that of the first failure.
func checkup(o *options, c *console.Console) (exit.Outcome, error) {
	list, err := findings(o, c)
	if err != nil {
		return exit.Outcome{}, err
	}
	write := console.WriteFindings
	if o.json {
		write = console.WriteFindingsJSON
	}
	if err = write(os.Stdout, list); err != nil {
		return exit.Outcome{}, err
	}
	for _, f := range list {
		if f.Err != nil {
			return exit.Of(f.Err, exit.NotAcquired), nil
		}
	}
	return exit.Outcome{}, nil
}

func findings(o *options, c *console.Console) ([]amqplock.Finding, error) {
	if err := findAny(o); err != nil {
		return nil, err
	}
	if o.namesLock() {
		if err := amqplock.CheckName(o.Lock.Name); err != nil {
			return nil, err
		}
	}
	client, err := connect(o, c)
	if err != nil {
		return nil, err
	}
	return append(doctor.Machine(), client.Examine(context.Background(), o.Lock)...), nil
}
