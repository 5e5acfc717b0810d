// Package cli is the command line of amqprun: its options, its subcommands, and its help.
package cli

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
)

// Main does what the command line says, and returns how the process is to end.
func Main(args []string, version string) exit.Outcome {
	sub, args := choose(args)
	outcome := doSubcommand(sub, args, version)
	if sub.name == "hold" && outcome.Code != exit.OK {
		// A shell evaluates what is printed, and the evaluation of nothing is a success.
		fmt.Printf("(exit %d)\n", outcome.Code)
	}
	return outcome
}

func doSubcommand(sub subcommand, args []string, version string) exit.Outcome {
	o := &options{subcommand: sub.name}
	o.Began, o.Broker.Version, o.Conflict = time.Now(), version, exit.NotAcquired
	var outcome exit.Outcome
	var err error
	o.args, o.given, err = parse(args, sub.options(o))
	c := console.New(o.Began, o.messages)
	switch {
	case err != nil:
		err = withHelp(err, sub.name)
	case o.help:
		fmt.Print(usage(sub.name))
	case o.version:
		info, _ := debug.ReadBuildInfo()
		fmt.Println(versionLine(version, info))
	default:
		outcome, err = sub.run(o, c)
	}
	if err == nil {
		return outcome
	}
	_, interrupted := errors.AsType[*exit.Interrupted](err) // by the user, who knows it
	silent := c.Quiet() && exit.Status(err) == exit.NotAcquired
	if !interrupted && !silent {
		c.Error(err, exit.Hint(err))
	}
	return exit.Of(err, o.Conflict)
}

// withHelp adds a hint to an error about an option.
func withHelp(err error, sub string) error {
	var usage *exit.UsageError
	if !errors.As(err, &usage) || usage.Hint != "" {
		return err
	}
	hint := "amqprun --help lists the options; " +
		"the command comes last, after -- if it begins with a dash"
	if sub != "" {
		hint = fmt.Sprintf("amqprun %s --help lists the options", sub)
	}
	return &exit.UsageError{Text: usage.Text, Hint: hint}
}

// subcommand is what the first word of the command line may name.
type subcommand struct {
	name    string
	options func(*options) []*option
	run     func(*options, *console.Console) (exit.Outcome, error) // the outcome is for no error
}

// subcommands are in alphabetical order. The one without a name runs a command.
var subcommands = []subcommand{
	{"", runOptions, run},
	{"change", changeOptions, admin(change)},
	{"check", checkOptions, check},
	{"destroy", lockOptions, admin(destroy)},
	{"doctor", doctorOptions, checkup},
	{"evict", evictOptions, admin(evict)},
	{"history", historyOptions, admin(history)},
	{"hold", holdOptions, hold},
	{"release", messageOptions, admin(release)},
	{"status", statusOptions, admin(status)},
}

// choose takes the name of a subcommand out of args. A command to run that is called like
// one stands behind "--" or an option.
func choose(args []string) (subcommand, []string) {
	if len(args) > 1 {
		for _, sub := range subcommands[1:] {
			if args[1] != sub.name {
				continue
			}
			args = args[1:]
			if sub.name == "change" {
				args = protectCount(args, sub.options(new(options)))
			}
			return sub, args
		}
	}
	return subcommands[0], args
}

// admin makes a subcommand of do, which succeeds or fails and has no status of its own.
func admin(
	do func(*options, *console.Console) error,
) func(*options, *console.Console) (exit.Outcome, error) {
	return func(o *options, c *console.Console) (exit.Outcome, error) {
		return exit.Outcome{}, do(o, c)
	}
}
