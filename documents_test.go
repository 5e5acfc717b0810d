package main

import (
	"maps"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/amqprun/amqprun/amqplock"
)

// optionNames are all options, such as -n and --nonblock, of each subcommand; of "" those to run a command.
func optionNames() map[string][]string {
	all := map[string][]string{}
	for sub, flags := range allFlags() {
		names := []string{"-h", "--help"}
		for _, f := range flags {
			for _, name := range f.Names() {
				names = append(names, dashed(name))
			}
		}
		slices.Sort(names)
		all[sub] = names
	}
	return all
}

func allFlags() map[string][]cli.Flag {
	all := map[string][]cli.Flag{"": runFlags(new(options))}
	for sub, s := range subcommands {
		all[sub] = s.flags(new(options))
	}
	return all
}

// everyOption is what a document has to name that is about all of them.
func everyOption() []string {
	return sorted(slices.Concat(slices.Collect(maps.Values(optionNames()))...))
}

func sorted(words []string) []string {
	words = slices.Clone(words)
	slices.Sort(words)
	return slices.Compact(words)
}

// optionsIn finds what looks like an option.
func optionsIn(text string) (names []string) {
	for _, m := range regexp.MustCompile("(?m)(?:^|[\\s,(|\\[`])(--[a-z][a-z-]*|-[a-zA-Z])\\b").FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return sorted(names)
}

func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestManualHasItsSections: also what no option would be missed in.
func TestManualHasItsSections(t *testing.T) {
	manual := readDocument(t, "docs/amqprun.1")
	for _, section := range []string{"EXIT STATUS", "ENVIRONMENT", "FILES", "OVERLAP", "EXAMPLES"} {
		_, text, found := strings.Cut(manual, "\n.Sh "+section+"\n")
		if text, _, _ = strings.Cut(text, "\n.Sh "); !found || len(strings.Fields(text)) < 20 {
			t.Errorf("the manual has no section %s, or an empty one", section)
		}
	}
}

// TestStatusFieldsAreDocumented: programs rely on them.
func TestStatusFieldsAreDocumented(t *testing.T) {
	page := readDocument(t, "docs/STATUS.md")
	var fields func(reflect.Type) []string
	fields = func(of reflect.Type) (names []string) {
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous {
				names = append(names, fields(f.Type)...)
			} else {
				names = append(names, name)
			}
		}
		return names
	}
	for _, of := range []reflect.Type{reflect.TypeFor[amqplock.Status](), reflect.TypeFor[amqplock.Participant](), reflect.TypeFor[allLocks]()} {
		for _, name := range fields(of) {
			if !regexp.MustCompile("[`\".]" + regexp.QuoteMeta(name) + "[`\"]").MatchString(page) {
				t.Errorf("docs/STATUS.md does not document the field %q of %v", name, of)
			}
		}
	}
}

func compareOptions(t *testing.T, where string, got, want []string) {
	t.Helper()
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s does not name %s", where, name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("%s names %s, which does not exist", where, name)
		}
	}
}

func TestHelpNamesEveryOption(t *testing.T) {
	for sub, names := range optionNames() {
		compareOptions(t, "amqprun "+sub+" --help", optionsIn(usage(sub)), names)
		lines := strings.Join(regexp.MustCompile(`(?m)^  -.*$`).FindAllString(usage(sub), -1), "\n")
		compareOptions(t, "the list of amqprun "+sub+" --help", append(optionsIn(lines), "--mutex", "--semaphore"),
			append(names, "--mutex", "--semaphore"))
		if !strings.HasPrefix(usage(sub), strings.TrimSpace("amqprun "+sub)+": ") {
			t.Errorf("the help of %q begins with %.40q", sub, usage(sub))
		}
	}
	for sub := range subcommands {
		if !regexp.MustCompile(`\b` + sub + `\b`).MatchString(usage("")) {
			t.Errorf("--help does not name %s", sub)
		}
	}
}

func TestHelpFitsAScreen(t *testing.T) {
	for sub := range optionNames() {
		lines := strings.Split(strings.TrimSuffix(usage(sub), "\n"), "\n")
		if len(lines) > 50 {
			t.Errorf("amqprun %s --help has %d lines", sub, len(lines))
		}
		for _, line := range lines {
			if len(line) > 80 {
				t.Errorf("amqprun %s --help: %d columns: %s", sub, len(line), line)
			}
		}
	}
}

func TestReadmeNamesEveryOption(t *testing.T) {
	_, table, _ := strings.Cut(readDocument(t, "README.md"), "\n| option | variable |")
	table, _, _ = strings.Cut(table, "\n\n")
	cells := regexp.MustCompile("(?m)^\\| `.*?` \\|").FindAllString(table, -1)
	compareOptions(t, "README.md", optionsIn(strings.Join(cells, "\n")), everyOption())
}

func TestManualPageNamesEveryOption(t *testing.T) {
	page := strings.ReplaceAll(readDocument(t, "docs/amqprun.1"), `\-`, "-")
	items := strings.Join(regexp.MustCompile(`(?m)^\.It .*$`).FindAllString(page, -1), "\n")
	flags := func(text string) (names []string) {
		for _, m := range regexp.MustCompile(`Fl (-?[a-zA-Z][a-z-]*)`).FindAllStringSubmatch(text, -1) {
			names = append(names, "-"+m[1])
		}
		return sorted(names)
	}
	compareOptions(t, "a list of the manual page", flags(items), everyOption())
	compareOptions(t, "the text of the manual page", sorted(append(flags(page), everyOption()...)), everyOption())
	for sub := range subcommands {
		if !strings.Contains(items, ".It Cm "+sub) {
			t.Errorf("the manual page does not list %s", sub)
		}
	}
	for code := range ownCodes(t) {
		if !strings.Contains(items+"\n", "\n.It "+strconv.Itoa(code)+"\n") {
			t.Errorf("the manual page does not list the exit status %d", code)
		}
	}
	for _, flags := range allFlags() {
		for _, f := range flags {
			if variables, ok := f.(cli.DocGenerationFlag); ok {
				for _, name := range variables.GetEnvVars() {
					if !regexp.MustCompile(`(?m)^\.It .*\bEv ` + name + `\b`).MatchString(page) {
						t.Errorf("the manual page does not list the variable %s", name)
					}
				}
			}
		}
	}
}

func TestManualPageIsWellFormed(t *testing.T) {
	for _, checker := range [][]string{{"mandoc", "-T", "lint", "-W", "style"}, {"groff", "-mdoc", "-ww", "-T", "utf8", "-z"}} {
		path, err := exec.LookPath(checker[0])
		if err != nil {
			t.Log("not installed (make test-tools):", err)
			continue
		}
		out, err := exec.CommandContext(t.Context(), path, append(checker[1:], "docs/amqprun.1")...).CombinedOutput()
		// Which manuals are installed says something about the machine.
		complaints := regexp.MustCompile(`(?m)^mandoc: (outdated mandoc.db |.* referenced manual not found: ).*\n`).ReplaceAll(out, nil)
		if len(complaints) > 0 {
			t.Errorf("%v: %v\n%s", checker, err, complaints)
		}
	}
}
