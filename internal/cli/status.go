package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
)

func statusOptions(o *options) []*option {
	return append(lockOptions(o),
		toggle("json", &o.json),
		toggle("watch", &o.watch))
}

// status shows one lock, or, when none is named, all that somebody holds or waits for.
func status(o *options, c *console.Console) error {
	if err := findAny(o); err != nil {
		return err
	}
	client, err := connect(o, c)
	switch {
	case err != nil:
		return err
	case o.watch:
		return watch(o, client)
	}
	return writeStatus(os.Stdout, o, client)
}

func writeStatus(w io.Writer, o *options, client *amqplock.Client) error {
	ctx := context.Background()
	if o.namesLock() {
		s, err := client.Inspect(ctx, o.Lock)
		switch {
		case err != nil:
			return err
		case o.json:
			return console.WriteJSON(w, s)
		}
		return console.WriteLock(w, s)
	}
	all, err := client.InspectAll(ctx)
	switch {
	case err != nil:
		return err
	case o.json:
		return console.WriteAllJSON(w, all)
	}
	return console.WriteLocks(w, all)
}

// watchInterval is that of watch(1).
const watchInterval = 2 * time.Second

// watch draws the status again and again, until a signal ends amqprun. A broker that goes
// away is shown, and may come back. One that is ending has no users any more, and no
// virtual hosts. So of several refusals in a row only the second ends the watch.
func watch(o *options, client *amqplock.Client) error {
	if o.json {
		return &exit.UsageError{
			Text: "--watch and --json exclude each other", Hint: "run status --json again and again",
		}
	}
	screen := console.NewScreen()
	if screen == nil {
		return &exit.UsageError{
			Text: "--watch needs a terminal as its standard output",
			Hint: "without --watch, status prints once",
		}
	}
	for seen, refused := false, false; ; {
		var text strings.Builder
		err := writeStatus(&text, o, client)
		isRefused := errors.Is(err, amqplock.ErrAccess) || errors.Is(err, amqplock.ErrNotFound)
		mayPass := errors.Is(err, amqplock.ErrUnreachable) || seen && isRefused && !refused
		if err != nil && !mayPass {
			return err
		}
		if err != nil {
			text.WriteString("amqprun: error: " + err.Error() + "\n")
		}
		seen, refused = seen || err == nil, isRefused
		if err := screen.Draw(text.String()); err != nil {
			return err
		}
		<-time.After(watchInterval)
	}
}
