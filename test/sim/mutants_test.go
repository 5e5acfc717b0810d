// Package sim has the negative controls of the simulation: amqplock without one of its
// precautions, which amqplock/internal/sim has to find.
package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var controls = flag.Bool("controls", false, "build and run the mutants; a minute of a processor")

// TestMutants builds the simulation with each mutant, and expects it to fail because of
// that.
func TestMutants(t *testing.T) {
	t.Parallel()
	if !*controls {
		t.Skip("make sim runs it")
	}
	files, err := filepath.Glob("mutants/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no mutants: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			m.run(t)
		})
	}
}

// mutant is what a file in the folder mutants says.
type mutant struct {
	complaint string // of the oracle
	changes   []change
}

// change replaces a piece of a file that must be there once.
type change struct{ file, old, new string }

// parse reads a mutant: after its description, what it is found by, and changes.
func parse(text string) (m mutant, err error) {
	const begin, middle, end = "<<<<<<<\n", "=======\n", ">>>>>>>\n"
	_, rest, found := strings.Cut(text, "\nfound by: ")
	m.complaint, rest, _ = strings.Cut(rest, "\n")
	if !found {
		return m, fmt.Errorf("it does not say what it is found by")
	}
	for rest != "" {
		var c change
		head, body, ok := strings.Cut(rest, begin)
		old, body, ok2 := strings.Cut(body, middle)
		replacement, after, ok3 := strings.Cut(body, end)
		c.file, c.old, c.new = strings.TrimSpace(strings.TrimPrefix(head, "file: ")), old, replacement
		if !ok || !ok2 || !ok3 {
			return m, fmt.Errorf("malformed: %q", rest)
		}
		// The last line may be only the beginning of one in the source.
		c.old, c.new = strings.TrimSuffix(c.old, "\n"), strings.TrimSuffix(c.new, "\n")
		m.changes, rest = append(m.changes, c), after
	}
	return m, nil
}

// run is one test of a mutant.
func (m mutant) run(t *testing.T) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sim.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program,
		"-overlay", m.overlay(t), "./amqplock/internal/sim")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	simulate := exec.CommandContext(t.Context(), program, "-test.run=^TestSchedules$",
		"-seeds=10000", "-until="+m.complaint)
	out, err := simulate.CombinedOutput()
	if err == nil || !strings.Contains(string(out), m.complaint) {
		t.Errorf("not found (%v); the simulation said:\n%s", err, out)
	}
	t.Log(lastLines(string(out)))
}

// root is that of the module.
const root = "../.."

// overlay writes a file for go test -overlay.
func (m mutant) overlay(t *testing.T) string {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	for i, c := range m.changes {
		file, err := filepath.Abs(filepath.Join(root, c.file))
		if err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), c.old); n != 1 {
			t.Fatalf("%s: %q is there %d times, not once: what it mutates has changed", c.file, c.old, n)
		}
		replace[file] = filepath.Join(dir, fmt.Sprintf("%d.go", i))
		changed := strings.Replace(string(source), c.old, c.new, 1)
		if err := os.WriteFile(replace[file], []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], "\n")
}
