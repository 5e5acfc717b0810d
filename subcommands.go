package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/urfave/cli/v2"
)

// subcommand is what the first word of the command line may name. A command to run that is called like one goes behind "--" or an option.
type subcommand struct {
	name       string
	flags      func(*options) []cli.Flag
	takesCount bool // its argument may be a negative number
	action     func(c *cli.Context, o *options) error
}

func (s subcommand) run(c *cli.Context, o *options) outcome {
	err := o.parseLock(c)
	if err == nil {
		o.lock.ConnectionName = connectionName(s.name, o.lock.Name, nil)
		err = s.action(c, o)
	}
	if err != nil {
		return o.failed(err)
	}
	return outcome{code: exitOK}
}

var subcommands = map[string]subcommand{
	"change": {
		name: "change",
		flags: func(o *options) []cli.Flag {
			return append(brokerFlags(o), semaphoreFlag(), &cli.IntFlag{Name: "to", Destination: &o.slots},
				&cli.BoolFlag{Name: "drain", Destination: &o.drain})
		},
		takesCount: true,
		action:     change,
	},
	"destroy": {
		name:   "destroy",
		flags:  func(o *options) []cli.Flag { return append(brokerFlags(o), semaphoreFlag()) },
		action: destroy,
	},
	"status": {
		name: "status",
		flags: func(o *options) []cli.Flag {
			return append(brokerFlags(o), semaphoreFlag(), mutexFlag(), &cli.BoolFlag{Name: "json", Destination: &o.json})
		},
		action: status,
	},
}

// change prints what the original script prints.
func change(c *cli.Context, o *options) error {
	var err error
	if c.IsSet("to") {
		if err := noArguments(c); err != nil {
			return err
		}
		if o.drain {
			return &usageError{text: "--to and --drain exclude each other"}
		}
		err = amqplock.Resize(c.Context, o.lock, o.slots)
	} else {
		args := c.Args().Slice()
		if len(args) != 1 {
			return &usageError{text: fmt.Sprintf("change takes one COUNT after its options, not %q", args)}
		}
		delta, notANumber := strconv.Atoi(args[0])
		if notANumber != nil {
			return &usageError{text: fmt.Sprintf("COUNT %q: must be a whole number, such as 3, +3 or -1", args[0])}
		}
		switch {
		case !o.drain:
			err = amqplock.Adjust(c.Context, o.lock, delta)
		case delta < 0:
			err = amqplock.Drain(c.Context, o.lock, -delta)
		default:
			return &usageError{text: fmt.Sprintf("COUNT %q: only slots that are removed, such as -1, can be drained", args[0])}
		}
	}
	switch {
	case err == nil:
		fmt.Println("Adjustment success")
	case !errors.Is(err, amqplock.ErrConfig): // then nothing was tried
		fmt.Println("Adjustment failure")
	}
	return err
}

func destroy(c *cli.Context, o *options) error {
	if err := noArguments(c); err != nil {
		return err
	}
	return amqplock.Destroy(c.Context, o.lock)
}

func noArguments(c *cli.Context) error {
	if c.NArg() == 0 {
		return nil
	}
	return &usageError{text: fmt.Sprintf("unexpected argument %q; options come before it", c.Args().First())}
}

func status(c *cli.Context, o *options) error {
	if err := noArguments(c); err != nil {
		return err
	}
	s, err := amqplock.Inspect(c.Context, o.lock)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(s)
	}
	_, err = fmt.Printf("%s %q: %s\n", s.Kind, s.Name, inWords(s))
	return err
}

func inWords(s amqplock.Status) string {
	switch {
	case s.Kind == amqplock.Mutex && s.Held > 0:
		return "held"
	case s.Kind == amqplock.Mutex:
		return "free"
	case s.Slots == 0:
		return "0 slots (paused)"
	case s.Slots == 1:
		return fmt.Sprintf("1 slot, %d held, %d free", s.Held, s.Free)
	}
	return fmt.Sprintf("%d slots, %d held, %d free", s.Slots, s.Held, s.Free)
}
