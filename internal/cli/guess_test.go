package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/internal/job"
	"github.com/amqprun/amqprun/runner"
)

// TestGuesses: who comes from another program gets the command line of this one.
func TestGuesses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, text, hint string }{
		{"status builds", `unexpected argument "builds"; options come before it`,
			"amqprun status --semaphore builds, or --mutex builds"},
		{"check builds", "no lock is named", "amqprun check --semaphore builds, or --mutex builds"},
		{"evict builds", "no lock is named", "amqprun evict --semaphore builds, or --mutex builds"},
		{"change builds 4", "no semaphore is named", "amqprun change --semaphore builds --to N"},
		{"change 4", "no semaphore is named", "name it with --semaphore NAME"},
		{"destroy builds", "no lock is named", "amqprun destroy --semaphore builds, or --mutex builds"},
		{"destroy --semaphore a b", `unexpected argument "b"; options come before it`, ""},
		{"release amqp://h", `unexpected argument "amqp://h"; options come before it`, ""},
		{"run make", "no lock is named",
			`amqprun needs no word like "run": amqprun --mutex NAME -- COMMAND [ARG...]`},
		{"help", "no lock is named", "amqprun --help"},
		{"version", "no lock is named", "amqprun --version"},
		{"-v status", "no lock is named", "a subcommand comes first: amqprun status ..."},
		{"make", "no lock is named", "name it with --mutex NAME or --semaphore NAME"},
	} {
		sub, args := choose(append([]string{"amqprun"}, strings.Fields(c.args)...))
		o := &options{subcommand: sub.name}
		var err error
		if o.args, o.given, err = parse(args, sub.options(o)); err != nil {
			t.Fatal(c.args, err)
		}
		_, err = sub.run(o, nil)
		if err == nil || err.Error() != c.text || exit.Hint(err) != c.hint {
			t.Errorf("%s: %v, hint %q, want %s, hint %q", c.args, err, exit.Hint(err), c.text, c.hint)
		}
	}
}

func TestNumberAfterNonblock(t *testing.T) {
	t.Parallel()
	missing := &runner.StartError{Path: "3", Err: errors.New("command not found"), Code: 127}
	o := &options{Spec: job.Spec{NoWait: true}, args: []string{"3", "make"}}
	err := explainNumber(o, missing)
	const want = "-n takes no value; for a lock with 3 holders: --semaphore NAME --create 3"
	if exit.Hint(err) != want || exit.Status(err) != 127 || err.Error() != missing.Error() {
		t.Errorf("%v, hint %q, status %d", err, exit.Hint(err), exit.Status(err))
	}
	if o.args[0] = "x3"; exit.Hint(explainNumber(o, missing)) != "" {
		t.Error("another command gets the hint")
	}
}

func TestSubcommandNames(t *testing.T) {
	t.Parallel()
	var names []string
	for _, sub := range subcommands[1:] {
		names = append(names, sub.name)
	}
	if !slices.Equal(names, subcommandNames) {
		t.Errorf("there are %q, and %q are known", names, subcommandNames)
	}
}
