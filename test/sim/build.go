package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// patch is what a file in test/sim says that changes sources for one build.
type patch struct {
	found   string // the oracle's words about the mutant
	with    string // the fault that shows it; "" for any
	changes []change
}

// change replaces a piece of a file that must be there once.
type change struct{ file, old, new string }

// readPatch reads a description, what the patch is found by, and changes.
func readPatch(name string) (p patch, err error) {
	const begin, middle, end = "<<<<<<<\n", "=======\n", ">>>>>>>\n"
	text, err := os.ReadFile(name)
	if err != nil {
		return p, err
	}
	_, rest, found := strings.Cut(string(text), "\nfound by: ")
	if !found {
		return p, fmt.Errorf("%s: no line says what it is found by", name)
	}
	p.found, rest, _ = strings.Cut(rest, "\n")
	if with, after, ok := strings.Cut(rest, "\n"); ok && strings.HasPrefix(with, "with: ") {
		p.with, rest = strings.TrimPrefix(with, "with: "), after
	}
	for rest != "" {
		var c change
		head, body, ok := strings.Cut(rest, begin)
		old, body, ok2 := strings.Cut(body, middle)
		replacement, after, ok3 := strings.Cut(body, end)
		if !ok || !ok2 || !ok3 {
			return p, fmt.Errorf("%s: malformed at %q", name, rest)
		}
		c.file = strings.TrimSpace(strings.TrimPrefix(head, "file: "))
		// The last line may be the beginning of one in the source.
		c.old, c.new = strings.TrimSuffix(old, "\n"), strings.TrimSuffix(replacement, "\n")
		p.changes, rest = append(p.changes, c), after
	}
	return p, nil
}

// overlay writes a file for go build -overlay to dir, from files below root.
func (p patch) overlay(root, dir string) (name string, err error) {
	replace := map[string]string{}
	for i, c := range p.changes {
		file, err := filepath.Abs(filepath.Join(root, c.file))
		if err != nil {
			return "", err
		}
		from := file
		if replace[file] != "" { // an earlier change of the same file
			from = replace[file]
		}
		source, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if n := bytes.Count(source, []byte(c.old)); n != 1 {
			return "", fmt.Errorf("%s: %q is there %d times, not once: what is patched has changed",
				c.file, c.old, n)
		}
		replace[file] = filepath.Join(dir, fmt.Sprintf("%d.go", i))
		changed := bytes.Replace(source, []byte(c.old), []byte(c.new), 1)
		if err := os.WriteFile(replace[file], changed, 0o600); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name = filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, text, 0o600)
}

// build builds the simulation with a patch to dir.
func (p patch) build(ctx context.Context, root, dir string, flags ...string) (string, error) {
	overlay, err := p.overlay(root, dir)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "sim.test")
	args := append([]string{"test", "-c", "-o", program, "-overlay", overlay}, flags...)
	out, err := exec.CommandContext(ctx, "go", append(args, "./amqplock/internal/sim")...).
		CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
}

// violates matches a line of TestSchedules about violations, and not the stack of a
// panic.
var violates = regexp.MustCompile(`sim_test.go:\d+: seed \d+: `)

// runControl builds the simulation with a mutant, and expects it to fail because of that.
func runControl(ctx context.Context, file string) error {
	dir, err := os.MkdirTemp("", "sim-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p, err := readPatch(file)
	if err != nil {
		return err
	}
	program, err := p.build(ctx, ".", dir)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, program, "-test.run=^TestSchedules$", "-test.v",
		"-test.timeout=0", "-seeds=20000", "-until="+p.found, "-with="+p.with).CombinedOutput()
	lines := strings.Split(string(out), "\n")
	for _, line := range lines {
		if violates.MatchString(line) && strings.Contains(line, p.found) {
			fmt.Printf("found %s: %s\n", strings.TrimSuffix(filepath.Base(file), ".txt"),
				strings.TrimSpace(line))
			return nil
		}
	}
	return errors.Join(fmt.Errorf("not found; the end was:\n%s",
		strings.Join(lines[max(0, len(lines)-5):], "\n")), err)
}
