package cli

import (
	"errors"
	"flag"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/amqprun/amqprun/internal/exit"
)

// option is one option of the command line.
type option struct {
	names []string
	env   string             // the variable that it is also read from; empty: none
	set   func(string) error // takes a value; it gets "true" where there is none
	bool  bool               // it needs no value

	given string // the name under which the command line has it; empty: it has not
}

// value is an option with a value, which read makes of its text. names has one or
// several, with spaces between them.
func value[T any](names string, to *T, read func(string) (T, error)) *option {
	set := func(text string) error {
		v, err := read(text)
		if err == nil {
			*to = v
		}
		return err
	}
	return &option{names: strings.Fields(names), set: set}
}

// toggle is an option without a value.
func toggle(names string, b *bool) *option {
	o := value(names, b, boolean)
	o.bool = true
	return o
}

// orVariable makes --some-option read AMQPRUN_SOME_OPTION too.
func (o *option) orVariable() *option {
	o.env = "AMQPRUN_" + strings.ToUpper(strings.ReplaceAll(o.names[0], "-", "_"))
	return o
}

// parse reads the options and returns what follows them. given has the first name of each
// option that the command line has.
func parse(args []string, all []*option) (rest []string, given map[string]bool, err error) {
	var wrong error
	var flags []cli.Flag
	for _, o := range all {
		for i, name := range o.names {
			flags = append(flags, &spelling{name: name, option: o, first: i == 0, wrong: &wrong})
		}
	}
	// No cli.App: its help executes templates, which call methods by name, so the linker
	// keeps each method of each type. To start the larger program takes 0.4 ms more, a
	// twentieth of `true` under a free lock.
	set := flag.NewFlagSet("amqprun", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range flags {
		if err == nil {
			err = f.Apply(set)
		}
	}
	if err == nil {
		err = set.Parse(args[min(1, len(args)):]) // Linux before 5.18 executes without a name too
	}
	rest = cli.NewContext(nil, set, nil).Args().Slice()
	switch {
	case wrong != nil:
		err = wrong
	case err != nil:
		err = explain(err.Error(), args, all)
	}
	given = map[string]bool{}
	for _, o := range all {
		given[o.names[0]] = o.given != ""
	}
	return rest, given, err
}

// spelling is one name of an option: what the library calls a flag, and the value of that
// flag. So an error can say which name the user wrote.
type spelling struct {
	name   string
	option *option
	first  bool   // of the option's names
	wrong  *error // of an option, because the library keeps its text alone and reads no further
}

func (s *spelling) Names() []string { return []string{s.name} }
func (s *spelling) IsSet() bool     { return s.option.given != "" }
func (s *spelling) String() string  { return "" }

// IsBoolFlag makes the library accept the option without a value.
func (s *spelling) IsBoolFlag() bool { return s.option.bool }

// Apply reads the variable, and adds the name to those that the library knows.
func (s *spelling) Apply(set *flag.FlagSet) error {
	set.Var(s, s.name, "")
	if !s.first || s.option.env == "" {
		return nil
	}
	text := os.Getenv(s.option.env)
	if text == "" { // as AMQPRUN_HEARTBEAT= in a crontab: not set
		return nil
	}
	err := s.option.set(text)
	if err != nil {
		*s.wrong = exit.Usagef("%s=%q: %v", s.option.env, text, err)
	}
	return err
}

// Set takes the value from the command line.
func (s *spelling) Set(text string) error {
	o := s.option
	var err error
	if o.given != "" && o.given != s.name {
		err = exit.Usagef("%s and %s are the same option: give one of them", dashed(s.name),
			dashed(o.given))
	} else if bad := o.set(text); bad != nil {
		err = exit.Usagef("invalid value %q for option %s: %v", text, dashed(s.name), bad)
	}
	o.given = s.name
	*s.wrong = err
	return err
}

// explain turns what the library and Go's package flag say about a command line into an
// error of ours, in one line. Three of their sentences remain that are not about a value.
func explain(text string, args []string, all []*option) *exit.UsageError {
	e := &exit.UsageError{Text: text}
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		e.Text = "unknown option " + dashed(name)
		if slices.Contains(args, "-"+name) && defined(all, name[:1]) {
			e.Text = "unknown option -" + name
			e.Hint = "short options are written apart, and their values too, as in -n -E 0"
		}
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		e.Text = "option " + dashed(name) + " needs a value"
	}
	if word, ok := strings.CutPrefix(text, "bad flag syntax: "); ok {
		e.Text = word + " is no option"
	}
	e.Text = regexp.MustCompile(`\pC`).ReplaceAllStringFunc(e.Text, func(s string) string {
		return strings.Trim(strconv.Quote(s), `"`)
	})
	return e
}

func defined(all []*option, name string) bool {
	return slices.ContainsFunc(all, func(o *option) bool { return slices.Contains(o.names, name) })
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// protectCount puts "--" before a COUNT like -1, which would read as an option.
func protectCount(args []string, all []*option) []string {
	takesValue := map[string]bool{}
	for _, o := range all {
		for _, name := range o.names {
			takesValue[name] = !o.bool
		}
	}
	for i := 1; i < len(args); i++ {
		name := strings.TrimLeft(args[i], "-")
		switch {
		case !strings.HasPrefix(args[i], "-") || args[i] == "--":
			return args
		case takesValue[name]:
			i++
		default:
			if _, err := strconv.Atoi(args[i]); err == nil || errors.Is(err, strconv.ErrRange) {
				return slices.Insert(slices.Clone(args), i, "--")
			}
		}
	}
	return args
}
