package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/urfave/cli/v2"
)

// errUsage is the kind of every complaint about the command line.
var errUsage = errors.New("usage")

type usageError struct{ text, hint string }

func (e *usageError) Error() string        { return e.text }
func (e *usageError) Is(target error) bool { return target == errUsage }

var (
	errNoLock      = &usageError{text: "no lock is named", hint: "name it with --mutex NAME or --semaphore NAME"}
	errNoSemaphore = &usageError{text: "no semaphore is named", hint: "name it with --semaphore NAME"}
)

// run parses the command line and does what it says.
func run(args []string) outcome {
	o := &options{environ: os.Environ(), id: newID()}
	messages.since = time.Now()
	dropEmptySettings()
	action, flags, name := runCommand, runFlags(o), ""
	if len(args) > 1 {
		if sub, ok := subcommands[args[1]]; ok {
			name = sub.name
			args = append([]string{args[0]}, args[2:]...)
			action, flags = sub.run, sub.flags(o)
			if sub.takesCount {
				args = protectCount(args, flags)
			}
		}
	}
	var result outcome
	app := &cli.App{
		Name:                  "amqprun",
		CustomAppHelpTemplate: usage(name),
		HideHelpCommand:       true, // "help" is a command to run like any other
		HideVersion:           true, // -v is --verbose
		Flags:                 flags,
		Action:                func(c *cli.Context) error { result = action(c, o); return nil },
		// Once parsed the options need no description; the library would search it for each of their names, a third of a millisecond.
		Before: func(c *cli.Context) error { c.Command.Flags = nil; return nil },
		// Without these two the library would print, and exit by itself inside Run: an *exec.ExitError is enough for it.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return err },
	}
	if err := app.Run(args); err != nil {
		return o.failed(explainUsage(err, name, flags, args))
	}
	return result
}

// runCommand is what amqprun does without a subcommand.
func runCommand(c *cli.Context, o *options) outcome {
	if c.Bool("version") {
		info, _ := debug.ReadBuildInfo()
		fmt.Println(versionLine(info))
		return outcome{code: exitOK}
	}
	if err := o.parseRun(c); err != nil {
		return o.failed(err)
	}
	return underLock(o)
}

// dropEmptySettings makes AMQPRUN_URL= in a crontab mean "not set", where the library would take the empty value over the default. The
// command gets its environment as it was.
func dropEmptySettings() {
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if value == "" && (strings.HasPrefix(name, "AMQPRUN_") || name == "AMQP_URL") {
			_ = os.Unsetenv(name)
		}
	}
}

// explainUsage makes what the library says about a command line one of our errors, in one line, with options spelled as people write them.
func explainUsage(err error, sub string, flags []cli.Flag, args []string) error {
	text, hint := err.Error(), "amqprun --help lists the options; the command comes last, after -- if it begins with a dash"
	if sub != "" {
		hint = fmt.Sprintf("amqprun %s --help lists the options", sub)
	}
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		text = "unknown option " + dashed(name)
		if slices.Contains(args, "-"+name) && defined(flags, name[:1]) {
			text, hint = "unknown option -"+name, "short options are written apart, and their values too, as in -n -E 0"
		}
	}
	text = regexp.MustCompile(`\pC`).ReplaceAllStringFunc(text, func(s string) string { return strings.Trim(strconv.Quote(s), `"`) })
	notBool := regexp.MustCompile(`(strconv\.ParseBool: parsing ".*": invalid syntax|parse error)$`)
	text = notBool.ReplaceAllString(text, "must be true or false")
	inVariable := regexp.MustCompile(`^could not parse (".*") (?:as bool value )?from environment variable "(\w+)" (?:as value )?for flag \S+: (.*)$`)
	text = inVariable.ReplaceAllString(text, "$2=$1: $3")
	twoForms := regexp.MustCompile(`^Cannot use two forms of the same flag: (\S+) (\S+)$`)
	if m := twoForms.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("%s and %s are the same option: give one of them", dashed(m[1]), dashed(m[2]))
	}
	option := regexp.MustCompile(`(flag (needs an argument: )?| for )-+([a-zA-Z-]+)`)
	text = option.ReplaceAllStringFunc(text, func(s string) string {
		m := option.FindStringSubmatch(s)
		if m[1] == " for " {
			return " for option " + dashed(m[3])
		}
		return "option " + dashed(m[3]) + map[bool]string{true: " needs a value"}[m[2] != ""]
	})
	return &usageError{text: text, hint: hint}
}

// defined tells whether there is an option of that name.
func defined(flags []cli.Flag, name string) bool {
	return slices.ContainsFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// parseRun fills in o for running a command, and refuses what cannot work before anything is contacted.
func (o *options) parseRun(c *cli.Context) error {
	if err := o.parseLock(c); err != nil {
		return err
	}
	o.command = c.Args().Slice()
	if c.IsSet("command") {
		if len(o.command) > 0 {
			return &usageError{text: fmt.Sprintf("both --command and the command %q are given", o.command[0])}
		}
		shell := os.Getenv("SHELL")
		if shell == "" {
			shell = "/bin/sh"
		}
		o.command = []string{shell, "-c", c.String("command")}
	}
	if len(o.command) == 0 || o.command[0] == "" {
		return &usageError{text: "no command to run", hint: "amqprun --mutex NAME -- COMMAND [ARG...]"}
	}
	if c.IsSet("wait") {
		if o.noWait && o.wait > 0 {
			return &usageError{text: "--nonblock and --wait exclude each other"}
		}
		o.noWait = o.noWait || o.wait == 0
	}
	if c.IsSet("slots") && (o.lock.Slots < 1 || o.lock.Kind != amqplock.KindSemaphore) {
		return &usageError{text: fmt.Sprintf("--slots %d: only a semaphore has slots, and at least one", o.lock.Slots)}
	}
	if c.IsSet("count") && o.lock.Count < 1 {
		return &usageError{text: fmt.Sprintf("--count %d: must be at least 1", o.lock.Count)}
	}
	if err := o.checkConflictCode(); err != nil {
		return err
	}
	o.lock.ConnectionName = connectionName("", o.lock.Name, o.command)
	if c.IsSet("report") {
		if err := checkReport(o.report); err != nil {
			return err
		}
	}
	if err := o.lock.Validate(); err != nil {
		return err
	}
	return o.refuseNested()
}

func (o *options) checkConflictCode() error {
	if o.conflictCode < 0 || o.conflictCode > 255 {
		return &usageError{text: fmt.Sprintf("--conflict-exit-code %d: an exit code is from 0 to 255", o.conflictCode)}
	}
	return nil
}

// parseLock fills in which lock is meant, and where.
func (o *options) parseLock(c *cli.Context) error {
	o.lock.Logf, o.lock.Warnf, o.lock.Version, o.lock.About = o.logf, o.warnf, version, o.about
	mutex, semaphore := c.String("mutex"), c.String("semaphore")
	switch {
	case c.IsSet("mutex") && c.IsSet("semaphore"):
		return &usageError{text: "--mutex and --semaphore exclude each other"}
	case c.IsSet("mutex"):
		o.lock.Kind, o.lock.Name = amqplock.KindMutex, mutex
	case c.IsSet("semaphore"):
		o.lock.Kind, o.lock.Name = amqplock.KindSemaphore, semaphore
	case defined(c.App.Flags, "mutex"):
		return errNoLock
	default:
		return errNoSemaphore
	}
	return o.parseBroker(c)
}

// protectCount puts "--" before a COUNT like -1, which would read as an option.
func protectCount(args []string, flags []cli.Flag) []string {
	takesValue := map[string]bool{}
	for _, f := range flags {
		if _, isBool := f.(*cli.BoolFlag); !isBool {
			for _, name := range f.Names() {
				takesValue[name] = true
			}
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
			if _, err := strconv.Atoi(args[i]); err == nil {
				return append(append(append([]string{}, args[:i]...), "--"), args[i:]...)
			}
		}
	}
	return args
}
