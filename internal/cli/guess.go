package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/runner"
)

// People who come from other programs get a hint that says how amqprun writes what they
// typed.

// subcommandNames are those of subcommands, which would use this file in turn.
var subcommandNames = []string{
	"change", "check", "destroy", "doctor", "evict", "history", "hold", "release", "status",
}

// noLock is the error for a command line that names no lock.
func noLock(o *options) error {
	e := &exit.UsageError{
		Text: "no lock is named", Hint: "name it with --mutex NAME or --semaphore NAME",
	}
	if o.subcommand == "change" {
		e.Text, e.Hint = "no semaphore is named", "name it with --semaphore NAME"
	}
	if len(o.args) > 0 {
		guess := guessLock
		if o.subcommand == "" {
			guess = guessSubcommand
		}
		if hint := guess(o); hint != "" {
			e.Hint = hint
		}
	}
	return e
}

// guessLock takes the first argument for the name of a lock, unless it is a URL.
func guessLock(o *options) string {
	name := o.args[0]
	if _, err := strconv.Atoi(name); err == nil || amqplock.CheckName(name) != nil {
		return ""
	}
	if strings.Contains(name, "://") && o.subcommand != "release" { // which asks no broker
		return "a broker is named by --url URL or AMQPRUN_URL"
	}
	name = shellescape.Quote(name)
	switch o.subcommand {
	case "change":
		return fmt.Sprintf("amqprun change --semaphore %s --to N", name)
	case "release":
		return ""
	}
	return fmt.Sprintf("amqprun %s --semaphore %s, or --mutex %[2]s", o.subcommand, name)
}

// guessSubcommand takes the first argument for a subcommand that does not exist, or not
// there.
func guessSubcommand(o *options) string {
	switch word := o.args[0]; word {
	case "run", "exec", "lock":
		return fmt.Sprintf("amqprun needs no word like %q: amqprun --mutex NAME -- COMMAND [ARG...]",
			word)
	case "help":
		return "amqprun --help"
	case "version":
		return "amqprun --version"
	case "list", "ls":
		return "amqprun status lists all locks in use"
	default:
		if slices.Contains(subcommandNames, word) {
			return fmt.Sprintf("a subcommand comes first: amqprun %s ...", word)
		}
	}
	return ""
}

// noArguments refuses what follows the options of most subcommands.
func noArguments(o *options) error {
	if len(o.args) == 0 {
		return nil
	}
	e := exit.Usagef("unexpected argument %q; options come before it", o.args[0])
	if !o.namesLock() {
		e.Hint = guessLock(o)
	}
	return e
}

// explainNumber adds a hint to the error of a command such as 3: "consul lock -n 3" is a
// semaphore.
func explainNumber(o *options, err error) error {
	var start *runner.StartError
	if !o.NoWait || !errors.As(err, &start) || len(o.args) == 0 {
		return err
	}
	n, notNumber := strconv.Atoi(o.args[0])
	if notNumber != nil {
		return err
	}
	hint := fmt.Sprintf("-n takes no value; for a lock with %d holders: --semaphore NAME --create %d",
		n, n)
	return exit.WithHint(err, hint)
}
