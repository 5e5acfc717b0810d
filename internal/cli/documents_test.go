package cli

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/internal/report"
)

// root is the module's, where the documents are.
const root = "../.."

// optionNames are all options, such as -n and --nonblock, of each subcommand; of "" those
// to run a command.
func optionNames() map[string][]string {
	all := map[string][]string{}
	for sub, options := range allOptions() {
		var names []string
		for _, o := range options {
			for _, name := range o.names {
				names = append(names, dashed(name))
			}
		}
		slices.Sort(names)
		all[sub] = names
	}
	return all
}

func allOptions() map[string][]*option {
	all := map[string][]*option{}
	for _, sub := range subcommands {
		all[sub.name] = sub.options(new(options))
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
	option := regexp.MustCompile("(?m)(?:^|[\\s,(|\\[`])(--[a-z][a-z-]*|-[a-zA-Z])\\b")
	for _, m := range option.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return sorted(names)
}

func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestManualHasItsSections: also what no option would be missed in.
func TestManualHasItsSections(t *testing.T) {
	t.Parallel()
	manual := readDocument(t, "docs/amqprun.1")
	for _, section := range []string{"EXIT STATUS", "ENVIRONMENT", "FILES", "OVERLAP", "EXAMPLES"} {
		_, text, found := strings.Cut(manual, "\n.Sh "+section+"\n")
		if text, _, _ = strings.Cut(text, "\n.Sh "); !found || len(strings.Fields(text)) < 20 {
			t.Errorf("the manual has no section %s, or an empty one", section)
		}
	}
}

// TestFieldsAreDocumented: programs rely on them.
func TestFieldsAreDocumented(t *testing.T) {
	t.Parallel()
	var fields func(reflect.Type) []string
	fields = func(of reflect.Type) (names []string) {
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous:
				names = append(names, fields(f.Type)...)
			case name != "-" && f.IsExported():
				names = append(names, name)
			}
		}
		return names
	}
	for page, types := range map[string][]reflect.Type{
		"status": {
			reflect.TypeFor[amqplock.Status](), reflect.TypeFor[amqplock.Participant](),
			reflect.TypeFor[console.AllLocks](),
		},
		"history": {reflect.TypeFor[amqplock.Run](), reflect.TypeFor[console.History]()},
		"doctor":  {reflect.TypeFor[amqplock.Finding]()},
		"report":  {reflect.TypeFor[report.Report](), reflect.TypeFor[report.Command]()},
	} {
		text := readDocument(t, "docs/schemas/"+page+".json")
		var schema any
		if err := json.Unmarshal([]byte(text), &schema); err != nil {
			t.Fatal(page, err)
		}
		described := descriptions(schema)
		for _, of := range types {
			for _, name := range fields(of) {
				if described[name] == "" {
					t.Errorf("docs/schemas/%s.json does not describe the field %q of %v", page, name, of)
				}
			}
		}
	}
}

// descriptions are those of all properties in a part of a JSON Schema.
func descriptions(part any) map[string]string {
	all := map[string]string{}
	switch part := part.(type) {
	case map[string]any:
		properties, _ := part["properties"].(map[string]any)
		for name, property := range properties {
			all[name], _ = property.(map[string]any)["description"].(string)
		}
		for _, inner := range part {
			maps.Copy(all, descriptions(inner))
		}
	case []any:
		for _, inner := range part {
			maps.Copy(all, descriptions(inner))
		}
	}
	return all
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
	t.Parallel()
	for sub, names := range optionNames() {
		compareOptions(t, "amqprun "+sub+" --help", optionsIn(usage(sub)), names)
		lines := strings.Join(regexp.MustCompile(`(?m)^  -.*$`).FindAllString(usage(sub), -1), "\n")
		compareOptions(t, "the list of amqprun "+sub+" --help",
			append(optionsIn(lines), "--mutex", "--semaphore"),
			append(names, "--mutex", "--semaphore"))
		if !strings.HasPrefix(usage(sub), strings.TrimSpace("amqprun "+sub)+": ") {
			t.Errorf("the help of %q begins with %.40q", sub, usage(sub))
		}
		if !strings.Contains(usage(sub), "https://") {
			t.Errorf("the help of %q does not name the manual", sub)
		}
	}
	for _, sub := range subcommands {
		if !regexp.MustCompile(`\b` + sub.name + `\b`).MatchString(usage("")) {
			t.Errorf("--help does not name %s", sub.name)
		}
	}
}

func TestHelpFitsAScreen(t *testing.T) {
	t.Parallel()
	for sub := range optionNames() {
		lines := strings.Split(strings.TrimSuffix(usage(sub), "\n"), "\n")
		if len(lines) > 55 {
			t.Errorf("amqprun %s --help has %d lines", sub, len(lines))
		}
		for _, line := range lines {
			if len(line) > 80 {
				t.Errorf("amqprun %s --help: %d columns: %s", sub, len(line), line)
			}
		}
	}
}

// commandLine is the page with the list of options.
const commandLine = "docs/reference/command-line.md"

func TestReferenceNamesEveryOption(t *testing.T) {
	t.Parallel()
	_, list, _ := strings.Cut(readDocument(t, commandLine), "\n## Options\n")
	list, _, _ = strings.Cut(list, "\n##")
	item := regexp.MustCompile("(?m)^- (`.*?`)(?: \\((.*?)\\))?(?:: .*)?$")
	var names []string
	variables := map[string]string{}
	for _, found := range item.FindAllStringSubmatch(list, -1) {
		names = append(names, found[1])
		for _, name := range optionsIn(found[1]) {
			variables[name] += found[2]
		}
	}
	compareOptions(t, commandLine, optionsIn(strings.Join(names, "\n")), everyOption())
	for _, o := range slices.Concat(slices.Collect(maps.Values(allOptions()))...) {
		got := variables[dashed(o.names[0])]
		brokers := strings.HasPrefix(o.names[0], "url") // their variables are read together
		if o.env == "" && !brokers && strings.Contains(got, "AMQPRUN_") || !strings.Contains(got, o.env) {
			t.Errorf("%s has the variable %q for %s, the program %q",
				commandLine, got, o.names[0], o.env)
		}
	}
}

func TestManualPageNamesEveryOption(t *testing.T) {
	t.Parallel()
	page := strings.ReplaceAll(readDocument(t, "docs/amqprun.1"), `\-`, "-")
	items := strings.Join(regexp.MustCompile(`(?m)^\.It .*$`).FindAllString(page, -1), "\n")
	flags := func(text string) (names []string) {
		for _, m := range regexp.MustCompile(`Fl (-?[a-zA-Z][a-z-]*)`).FindAllStringSubmatch(text, -1) {
			names = append(names, "-"+m[1])
		}
		return sorted(names)
	}
	compareOptions(t, "a list of the manual page", flags(items), everyOption())
	compareOptions(t, "the text of the manual page",
		sorted(append(flags(page), everyOption()...)), everyOption())
	for _, sub := range subcommands {
		if !strings.Contains(items, ".It Cm "+sub.name) {
			t.Errorf("the manual page does not list %s", sub.name)
		}
	}
	for code := range ownCodes(t) {
		if !strings.Contains(items+"\n", "\n.It "+strconv.Itoa(code)+"\n") {
			t.Errorf("the manual page does not list the exit status %d", code)
		}
	}
	for _, options := range allOptions() {
		for _, o := range options {
			if !regexp.MustCompile(`(?m)^\.It .*\bEv ` + o.env + `\b`).MatchString(page) {
				t.Errorf("the manual page does not list the variable %s", o.env)
			}
		}
	}
}

func TestManualPageIsWellFormed(t *testing.T) {
	t.Parallel()
	for _, checker := range [][]string{
		{"mandoc", "-T", "lint", "-W", "style"}, {"groff", "-mdoc", "-ww", "-T", "utf8", "-z"},
	} {
		path, err := exec.LookPath(checker[0])
		if err != nil {
			t.Log("not installed (make test-tools):", err)
			continue
		}
		args := append(checker[1:], filepath.Join(root, "docs/amqprun.1"))
		out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
		// Which manuals are installed says something about the machine.
		installed := regexp.MustCompile(
			`(?m)^mandoc: (outdated mandoc.db |.* referenced manual not found: ).*\n`)
		complaints := installed.ReplaceAll(out, nil)
		if len(complaints) > 0 {
			t.Errorf("%v: %v\n%s", checker, err, complaints)
		}
	}
}

// TestManualPageIsShort: six screens of 55 lines.
func TestManualPageIsShort(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("not installed (make test-tools):", err)
	}
	page, err := exec.CommandContext(t.Context(), path, "-T", "utf8", "-O", "width=100",
		filepath.Join(root, "docs/amqprun.1")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(page), "\n"); lines > 330 {
		t.Errorf("the manual page has %d lines, more than 330", lines)
	}
}

// ownCodes reads the constants of package exit, so that a new one cannot be forgotten.
func ownCodes(t *testing.T) map[int]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../exit/exit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[int]bool{126: true, 127: true} // from package runner
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && len(spec.Values) == 1 && ast.IsExported(spec.Names[0].Name) {
			if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.INT {
				code, _ := strconv.Atoi(value.Value)
				codes[code] = true
			}
		}
		return true
	})
	delete(codes, exit.OK)
	if len(codes) < 9 {
		t.Fatalf("package exit has only the codes %v", codes)
	}
	return codes
}

func TestReferenceAndUsageHaveTheSameStatuses(t *testing.T) {
	t.Parallel()
	const page = "docs/reference/exit-status.md"
	codes := ownCodes(t)
	rows := map[int]bool{}
	row := regexp.MustCompile("(?m)^- ([0-9]+): ")
	for _, row := range row.FindAllStringSubmatch(readDocument(t, page), -1) {
		code, _ := strconv.Atoi(row[1])
		rows[code] = true
		if !codes[code] && code != exit.OK {
			t.Errorf("%s has exit status %d, package exit has not", page, code)
		}
	}
	for code := range codes {
		if !rows[code] {
			t.Errorf("%s does not list exit status %d", page, code)
		}
		if !regexp.MustCompile(fmt.Sprintf(`\b%d\b`, code)).MatchString(usage("")) {
			t.Errorf("--help does not name exit status %d", code)
		}
	}
}
