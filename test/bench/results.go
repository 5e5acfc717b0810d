package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// results are what has been measured so far, on one release of RabbitMQ after another.
// They stay in a file between the runs of bench.
type results struct {
	file     string
	Machine  string
	Releases []release
}

type release struct {
	Name    string // of the column
	Tables  map[string]*table
	Servers string // that are no RabbitMQ
}

func readResults(file string) (*results, error) {
	r := &results{file: file, Machine: machine()}
	if file == "" {
		return r, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	return r, json.Unmarshal(text, r)
}

// save writes the file, and with docs the pages.
func (r *results) save(docs string) error {
	if r.file != "" {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(r.file, text, 0o600); err != nil {
			return err
		}
	}
	if docs == "" {
		return nil
	}
	return r.write(docs)
}

// merged is the table of a part with columns for each release, nil if there is none.
func (r *results) merged(part string) *table {
	var all *table
	width := 1
	for _, one := range r.Releases {
		t := one.Tables[part]
		if t == nil {
			continue
		}
		if all == nil {
			all = newTable("", t.Columns[0])
		}
		all.Title = t.Title
		for _, column := range t.Columns[1:] {
			all.Columns = append(all.Columns, strings.TrimSpace(one.Name+" "+column))
		}
		for _, row := range t.Rows {
			i := slices.IndexFunc(all.Rows, func(r []string) bool { return r[0] == row[0] })
			if i < 0 {
				i = len(all.Rows)
				all.add(row[0])
			}
			for len(all.Rows[i]) < width {
				all.Rows[i] = append(all.Rows[i], "")
			}
			all.Rows[i] = append(all.Rows[i], row[1:]...)
		}
		width = len(all.Columns)
	}
	if all != nil {
		for i, row := range all.Rows {
			all.Rows[i] = append(row, make([]string, width-len(row))...)
		}
	}
	return all
}

// allFigures is the file of all tables. docs/internals/benchmarks.md has some of them.
const allFigures = "test/bench/FIGURES.md"

// write writes allFigures, puts the tables for which docs/internals/benchmarks.md has a
// place there, each between "<!-- bench: PART -->" and "<!-- end -->".
func (r *results) write(docs string) error {
	file := filepath.Join(docs, "benchmarks.md")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var servers []string
	for _, one := range r.Releases {
		servers = append(servers, "RabbitMQ "+one.Name)
		if one.Servers != "" {
			servers = append(servers, one.Servers)
		}
	}
	about := fmt.Sprintf("%s.\n\n%s.\n", r.Machine, strings.Join(servers, ", "))
	page, figures := put(string(text), "machine", about), "# Figures of make bench\n\n"+about
	for _, p := range parts {
		if t := r.merged(p.name); t != nil {
			page = put(page, p.name, t.markdown())
			figures += "\n## " + p.name + "\n\n" + t.markdown()
		}
	}
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		return err
	}
	return os.WriteFile(allFigures, []byte(figures), 0o644)
}

// put puts text into its place on a page, if it has one.
func put(page, name, text string) string {
	begin := "<!-- bench: " + name + " -->\n"
	before, rest, found := strings.Cut(page, begin)
	_, after, ended := strings.Cut(rest, "<!-- end -->\n")
	if !found || !ended {
		return page
	}
	return before + begin + text + "<!-- end -->\n" + after
}

// plotted are the parts that the picture shows.
var plotted = []string{"start", "handover", "steps", "crash"}

// plot draws the picture if all that it shows has been measured. It leaves a file for
// each part: a name, and some numbers for each release.
func (r *results) plot(docs, dir string) error {
	var names []string
	for _, part := range plotted {
		points, width := &results{}, 0
		for _, one := range r.Releases {
			if t := one.Tables[part]; t != nil && len(t.Points) > 0 {
				width = len(t.Points[0])
			}
		}
		if width == 0 {
			return nil
		}
		for _, one := range r.Releases {
			t := &table{Columns: make([]string, width)} // those of a release that lacks the part are empty
			if has := one.Tables[part]; has != nil {
				t.Rows = has.Points
			}
			points.Releases = append(points.Releases, release{Tables: map[string]*table{part: t}})
		}
		t := points.merged(part)
		var lines strings.Builder
		for _, row := range t.Rows {
			fmt.Fprintf(&lines, "%q", row[0])
			for _, cell := range row[1:] {
				fmt.Fprintf(&lines, " %s", cmp.Or(cell, "?"))
			}
			fmt.Fprintln(&lines)
		}
		file := filepath.Join(dir, part+".dat")
		if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
			return err
		}
	}
	for _, one := range r.Releases {
		names = append(names, fmt.Sprintf("%q", one.Name))
	}
	settings := fmt.Sprintf("dir='%s'; releases='%s'", dir, strings.Join(names, " "))
	svg, err := exec.Command("gnuplot", "-e", settings, "test/bench/plot.gp").Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return fmt.Errorf("gnuplot: %w: %s", err, failed.Stderr)
	}
	if err != nil {
		return fmt.Errorf("no picture: %w", err)
	}
	return os.WriteFile(filepath.Join(docs, "benchmarks.svg"), svg, 0o644)
}

func machine() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	model := "unknown processor"
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(cpus) {
		if key, value, _ := strings.Cut(string(line), ":"); strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%d cores (%s), %s %s, load %s at the start; %s", runtime.NumCPU(), model,
		runtime.GOOS, strings.TrimSpace(string(release)),
		strings.Join(strings.Fields(string(load))[:1], ""), runtime.Version())
}
