package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/amqprun/amqprun/internal/exit"
)

func TestProtectCount(t *testing.T) {
	t.Parallel()
	flags := changeOptions(new(options))
	for _, c := range []struct{ args, want string }{
		{"--semaphore s -1", "--semaphore s -- -1"},
		{"--semaphore=s -1", "--semaphore=s -- -1"},
		{"-v --semaphore s -12", "-v --semaphore s -- -12"},
		{"--semaphore s -- -1", "--semaphore s -- -1"},
		{"--semaphore s +1", "--semaphore s +1"},
		{"--semaphore -1 -2", "--semaphore -1 -- -2"}, // "-1" is the name
		{"--semaphore s -x", "--semaphore s -x"},
		{"--semaphore", "--semaphore"},
		{"", ""},
	} {
		got := protectCount(strings.Fields("amqprun "+c.args), flags)
		if want := strings.Fields("amqprun " + c.want); !slices.Equal(got, want) {
			t.Errorf("%q became %q, want %q", c.args, got, want)
		}
	}
}

// TestErrorsOfTheParser pins what becomes of the sentences of the library and of Go's
// package flag.
func TestErrorsOfTheParser(t *testing.T) {
	t.Parallel()
	const apart = "short options are written apart, and their values too, as in -n -E 0"
	for _, c := range []struct{ args, text, hint string }{
		{"--bogus", "unknown option --bogus", ""},
		{"-x", "unknown option -x", ""},
		{"--two\nlines", `unknown option --two\nlines`, ""},
		{"-nw5", "unknown option -nw5", apart},
		{"--mutex", "option --mutex needs a value", ""},
		{"-n -w", "option -w needs a value", ""},
		{"---mutex", "---mutex is no option", ""},
		{"--help=maybe", `invalid value "maybe" for option --help: must be true or false`, ""},
		{"--verbose=yes", `invalid value "yes" for option --verbose: must be true or false`, ""},
		{"-w soon", `invalid value "soon" for option -w: not a time: write 90, 1.5, 90s or 5m`, ""},
		{"-w 1 --timeout 2", "--timeout and -w are the same option: give one of them", ""},
		{"--mutex a --mutex b", `invalid value "b" for option --mutex: given twice`, ""},
		{"-w soon --bogus", `invalid value "soon" for option -w: not a time: write 90, 1.5, 90s or 5m`,
			""},
	} {
		args := append([]string{"amqprun"}, strings.Split(c.args, " ")...)
		_, _, err := parse(args, runOptions(new(options)))
		if err == nil || err.Error() != c.text || exit.Hint(err) != c.hint {
			t.Errorf("%q: %v, hint %q; want %s", c.args, err, exit.Hint(err), c.text)
		}
	}
}

func TestWrongVariable(t *testing.T) {
	t.Setenv("AMQPRUN_VERBOSE", "yes")
	_, _, err := parse([]string{"amqprun"}, runOptions(new(options)))
	const want = `AMQPRUN_VERBOSE="yes": must be true or false`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestNoArguments: not even a name of the program.
func TestNoArguments(t *testing.T) {
	t.Parallel()
	sub, args := choose(nil)
	if rest, _, err := parse(args, sub.options(new(options))); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}
