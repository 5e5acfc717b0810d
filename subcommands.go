package main

import (
	"context"
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
	flags      func(*options) []cli.Flag
	takesCount bool // its argument may be a negative number
	action     func(ctx context.Context, o *options, args []string) error
}

var subcommands = map[string]subcommand{
	"change": {
		flags:      func(o *options) []cli.Flag { return append(brokerFlags(o), semaphoreFlag()) },
		takesCount: true,
		action:     change,
	},
	"destroy": {
		flags:  func(o *options) []cli.Flag { return append(brokerFlags(o), semaphoreFlag()) },
		action: destroy,
	},
	"status": {
		flags: func(o *options) []cli.Flag {
			return append(brokerFlags(o), semaphoreFlag(), mutexFlag(), &cli.BoolFlag{Name: "json", Destination: &o.json})
		},
		action: status,
	},
}

// change prints what the original script prints.
func change(ctx context.Context, o *options, args []string) error {
	if len(args) != 1 {
		return &usageError{text: fmt.Sprintf("change takes one COUNT after its options, not %q", args)}
	}
	delta, err := strconv.Atoi(args[0])
	if err != nil {
		return &usageError{text: fmt.Sprintf("COUNT %q: must be a whole number, such as 3, +3 or -1", args[0])}
	}
	err = amqplock.Adjust(ctx, o.lock, delta)
	switch {
	case err == nil:
		fmt.Println("Adjustment success")
	case !errors.Is(err, amqplock.ErrConfig): // then nothing was tried
		fmt.Println("Adjustment failure")
	}
	return err
}

func destroy(ctx context.Context, o *options, args []string) error {
	if len(args) > 0 {
		return &usageError{text: fmt.Sprintf("destroy takes no argument, not %q", args)}
	}
	return amqplock.Destroy(ctx, o.lock)
}

func status(ctx context.Context, o *options, args []string) error {
	if len(args) > 0 {
		return &usageError{text: fmt.Sprintf("status takes no argument, not %q", args)}
	}
	s, err := amqplock.Inspect(ctx, o.lock)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(s)
	}
	paused := ""
	if s.Slots == 0 {
		paused = " (paused)"
	}
	_, err = fmt.Printf("%s %q: %d slots, %d held, %d free%s\n", s.Kind, s.Name, s.Slots, s.Held, s.Free, paused)
	return err
}
