package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// report puts what is printed into docs/internals/benchmarks.md, each part between
// "<!-- bench: NAME -->" and "<!-- end -->".
type report struct {
	docs string // empty: nowhere
	text bytes.Buffer
	done []string
}

func newReport(docs string) *report { return &report{docs: docs} }

// section files what has been printed since the last one.
func (r *report) section(name string) error {
	text := strings.Trim(r.text.String(), "\n")
	r.text.Reset()
	r.done = append(r.done, name)
	if r.docs == "" {
		return nil
	}
	file := filepath.Join(r.docs, "benchmarks.md")
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(page), "<!-- bench: "+name+" -->\n")
	_, after, ended := strings.Cut(rest, "<!-- end -->\n")
	if !found || !ended {
		return fmt.Errorf("%s has no place for %q", file, name)
	}
	page = []byte(before + "<!-- bench: " + name + " -->\n" + text + "\n<!-- end -->\n" + after)
	return os.WriteFile(file, page, 0o644)
}

// plotted are the parts that the picture shows; each leaves a file for gnuplot.
var plotted = []string{"start", "handover", "crash", "line"}

// plot draws the picture if all that it shows has been measured.
func (r *report) plot(dir string) error {
	for _, name := range plotted {
		if r.docs == "" || !slices.Contains(r.done, name) {
			return nil
		}
	}
	svg, err := exec.Command("gnuplot", "-e", "dir='"+dir+"'", "test/bench/plot.gp").Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return fmt.Errorf("gnuplot: %w: %s", err, failed.Stderr)
	}
	if err != nil {
		return fmt.Errorf("no picture: %w", err)
	}
	return os.WriteFile(filepath.Join(r.docs, "benchmarks.svg"), svg, 0o644)
}
