package docs

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// strict makes a schema refuse fields that it does not name. Users get the open one,
// because a later version of amqprun may add fields.
func strict(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		if _, ok := schema["properties"]; ok {
			schema["additionalProperties"] = false
		}
		for _, part := range schema {
			strict(part)
		}
	case []any:
		for _, part := range schema {
			strict(part)
		}
	}
}

// valid wants each line of text to be an object of the schema of that name. It returns
// the names of all fields.
func valid(t *testing.T, name, text string) map[string]bool {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(
		strings.NewReader(read(t, filepath.Join("docs", "schemas", name+".json"))))
	if err != nil {
		t.Fatal(err)
	}
	strict(document)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(name, document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, line)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%#v\n%s", err, line)
		}
		fieldsOf(value, seen)
	}
	return seen
}

func fieldsOf(value any, seen map[string]bool) {
	switch value := value.(type) {
	case map[string]any:
		for name, part := range value {
			seen[name] = true
			fieldsOf(part, seen)
		}
	case []any:
		for _, part := range value {
			fieldsOf(part, seen)
		}
	}
}

func wantFields(t *testing.T, seen map[string]bool, names string) {
	t.Helper()
	for _, name := range strings.Fields(names) {
		if !seen[name] {
			t.Errorf("no output has the field %s: %q", name, slices.Sorted(maps.Keys(seen)))
		}
	}
}

// TestSchemas validates what amqprun writes of a run that holds, one that waits, and one
// that fails.
func TestSchemas(t *testing.T) {
	s := open(t, false, "report")
	s.destroys("schemas")
	report := filepath.Join(s.home, "report.json")
	amqprun := func(args ...string) *run {
		return s.start(s.broker(), append([]string{"amqprun"}, args...)...)
	}
	holder := amqprun("--semaphore", "schemas", "--slots", "1", "--fence", "--metadata", "pr=12",
		"--report", report, "--", "report")
	s.journalHas("report")
	waiter := amqprun("--semaphore", "schemas", "--", "true")
	status := ""
	s.poll(func() bool {
		r := amqprun("status", "--semaphore", "schemas", "--json").ends(0)
		status = r.out.String()
		return strings.Contains(status, "position") && strings.Contains(status, "metadata")
	}, func() string { return status })
	all := amqprun("status", "--json").ends(0)
	fields := valid(t, "status", status+all.out.String())
	wantFields(t, fields, "version locks kind name slots held free waiting holders waiters id "+
		"host pid user command metadata since seconds position")

	failed := amqprun("--log-format", "json", "--semaphore", "schemas", "-n", "--", "true").ends(75)
	missing := amqprun("--log-format", "json", "--semaphore", "schemas-none", "--", "true").ends(78)
	verbose := amqprun("--log-format", "json", "-v", "--mutex", "schemas", "--", "true").ends(0)
	fields = valid(t, "message",
		failed.err.String()+missing.err.String()+verbose.err.String())
	wantFields(t, fields, "time level msg hint elapsed")

	if err := holder.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	holder.ends(143)
	waiter.ends(0)
	reports, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	lost := filepath.Join(s.home, "lost.json")
	amqprun("--semaphore", "schemas", "--report", lost, "--", "/no/such/command").ends(127)
	more, err := os.ReadFile(lost)
	if err != nil {
		t.Fatal(err)
	}
	fields = valid(t, "report", string(reports)+string(more))
	wantFields(t, fields, "result exit_status kind name broker id started waited slots token held "+
		"command status error")

	doctor := amqprun("doctor", "--semaphore", "schemas", "--json").ends(0)
	wantFields(t, valid(t, "doctor", doctor.out.String()), "version findings check level text")

	history := amqprun("history", "--semaphore", "schemas", "--json").ends(0)
	fields = valid(t, "history", history.out.String())
	wantFields(t, fields, "version kind name runs token slots id host pid user command "+
		"metadata granted ended seconds result status")
}

// TestSchemasHaveExamples: what the page shows is valid too.
func TestSchemasHaveExamples(t *testing.T) {
	for heading, name := range map[string]string{
		"Status": "status", "History": "history", "Report": "report", "Messages": "message",
	} {
		text := blocks(t, "docs/reference/json.md", heading, "json")[0]
		text = strings.ReplaceAll(text, `, "...": "..."`, "")
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(heading, err)
		}
		line, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		valid(t, name, string(line))
	}
}
