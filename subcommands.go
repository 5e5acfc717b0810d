package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/urfave/cli/v2"
)

// subcommand is what the first word of the command line may name. A command to run that is called like one goes behind "--" or an option.
type subcommand struct {
	name       string
	flags      func(*options) []cli.Flag
	takesCount bool // its argument may be a negative number
	anyLock    bool // a lock need not be named
	action     func(c *cli.Context, o *options) error
}

func (s subcommand) run(c *cli.Context, o *options) outcome {
	err := o.parseLock(c)
	if s.anyLock && errors.Is(err, errNoLock) {
		err = o.parseBroker(c)
	}
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
			return append(brokerFlags(o), semaphoreFlag(), value(number{&o.slots}, "to"),
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
			return append(brokerFlags(o), semaphoreFlag(), mutexFlag(), &cli.BoolFlag{Name: "json", Destination: &o.json},
				&cli.BoolFlag{Name: "watch", Destination: &o.watch})
		},
		anyLock: true,
		action:  status,
	},
	"check": {
		name: "check",
		flags: func(o *options) []cli.Flag {
			return append(brokerFlags(o), semaphoreFlag(), mutexFlag(), conflictFlag(o))
		},
		action: check,
	},
	"evict": {
		name: "evict",
		flags: func(o *options) []cli.Flag {
			return append(brokerFlags(o), semaphoreFlag(), mutexFlag(), value(once{&o.holder}, "holder"))
		},
		action: evict,
	},
}

// change prints what the original script prints.
func change(c *cli.Context, o *options) error {
	client, err := o.lock.client()
	if err != nil {
		return err
	}
	semaphore := client.Semaphore(o.lock.Name)
	if c.IsSet("to") {
		if err := noArguments(c); err != nil {
			return err
		}
		if o.drain {
			return &usageError{text: "--to and --drain exclude each other"}
		}
		err = semaphore.Resize(c.Context, o.slots)
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
			err = semaphore.Adjust(c.Context, delta)
		case delta < 0:
			err = semaphore.Drain(c.Context, -delta)
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
	client, err := o.lock.client()
	if err != nil {
		return err
	}
	return client.Semaphore(o.lock.Name).Destroy(c.Context)
}

func noArguments(c *cli.Context) error {
	if c.NArg() == 0 {
		return nil
	}
	return &usageError{text: fmt.Sprintf("unexpected argument %q; options come before it", c.Args().First())}
}

// check says by its exit status alone whether the lock could be taken now.
func check(c *cli.Context, o *options) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if err := o.checkConflictCode(); err != nil {
		return err
	}
	client, err := o.lock.client()
	if err != nil {
		return err
	}
	s, err := client.Look(c.Context, o.lock.Ref)
	if err == nil && s.Free == 0 {
		o.quiet = true
		return amqplock.ErrNotAcquired
	}
	return err
}

// evict returns when the holder has confirmed that it stops.
func evict(c *cli.Context, o *options) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if o.holder == "" {
		return &usageError{text: "no holder is named", hint: "name it with --holder ID; amqprun status lists the IDs"}
	}
	client, err := o.lock.client()
	if err != nil {
		return err
	}
	return client.Evict(c.Context, o.lock.Ref, o.holder, whoAmI())
}
