package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
)

func changeOptions(o *options) []*option {
	return append(brokerOptions(o), semaphoreOption(o),
		value("to", &o.to, number),
		toggle("drain", &o.drain))
}

// change prints what the original script prints.
func change(o *options, c *console.Console) error {
	if err := findLock(o); err != nil {
		return err
	}
	adjust, err := changeOf(o)
	if err != nil {
		return err
	}
	client, err := connect(o, c)
	if err != nil {
		return err
	}
	err = adjust(context.Background(), client.Semaphore(o.Lock.Name))
	switch {
	case err == nil:
		fmt.Println("Adjustment success")
	case !errors.Is(err, amqplock.ErrConfig): // else nothing was tried
		fmt.Println("Adjustment failure")
	}
	return err
}

// changeOf returns the change that the command line describes.
func changeOf(o *options) (func(context.Context, *amqplock.Admin) error, error) {
	if o.given["to"] {
		resize := func(ctx context.Context, a *amqplock.Admin) error { return a.Resize(ctx, o.to) }
		if o.drain {
			resize = func(ctx context.Context, a *amqplock.Admin) error { return a.DrainTo(ctx, o.to) }
		}
		return resize, noArguments(o)
	}
	switch len(o.args) {
	case 1:
	case 0:
		return nil, &exit.UsageError{
			Text: "change needs a COUNT or --to N",
			Hint: "--to 3 makes three slots; a COUNT such as 1 or -1 adds or removes slots",
		}
	default:
		return nil, exit.Usagef("change takes one COUNT after its options, not %q", o.args)
	}
	delta, err := strconv.Atoi(o.args[0])
	switch {
	case errors.Is(err, strconv.ErrRange), delta > amqplock.MaxSlots, delta < -amqplock.MaxSlots:
		return nil, exit.Usagef("COUNT %q: a semaphore has at most %d slots", o.args[0],
			amqplock.MaxSlots)
	case err != nil:
		return nil, exit.Usagef("COUNT %q: must be a whole number, such as 3, +3 or -1", o.args[0])
	case o.drain && delta >= 0:
		return nil, exit.Usagef("COUNT %q: only slots that are removed, such as -1, can be drained",
			o.args[0])
	case o.drain:
		return func(ctx context.Context, a *amqplock.Admin) error { return a.Drain(ctx, -delta) }, nil
	}
	return func(ctx context.Context, a *amqplock.Admin) error { return a.Adjust(ctx, delta) }, nil
}
