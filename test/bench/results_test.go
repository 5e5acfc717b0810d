package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// Each release has its columns, whatever rows it has.
func TestMergedTables(t *testing.T) {
	t.Parallel()
	of := func(rows ...[]string) map[string]*table {
		return map[string]*table{"part": {Title: "How.", Columns: []string{"what", "ms"}, Rows: rows}}
	}
	r := &results{Releases: []release{
		{Name: "3.10", Tables: of([]string{"a", "1"}, []string{"b", "2"})},
		{Name: "none"},
		{Name: "4.3", Tables: of([]string{"c", "3"}, []string{"a", "4"})},
	}}
	want := strings.Join([]string{
		"How.", "", "| what | 3.10 ms | 4.3 ms |", "|---|---:|---:|",
		"| a | 1 | 4 |", "| b | 2 |  |", "| c |  | 3 |", "",
	}, "\n")
	if got := r.merged("part").markdown(); got != want {
		t.Errorf("merged:\n%s\nwant:\n%s", got, want)
	}
	if r.merged("other") != nil {
		t.Error("there is a table of a part that nobody has measured")
	}
	page := "x\n<!-- bench: part -->\nold\n<!-- end -->\ny\n"
	if got := put(page, "part", "new\n"); got != strings.Replace(page, "old", "new", 1) {
		t.Errorf("put: %q", got)
	}
}

// A part finds the tables of those before it in the file.
func TestTablesAreSavedAtOnce(t *testing.T) {
	t.Parallel()
	one := release{Name: "4.3", Tables: map[string]*table{}}
	r := &results{file: filepath.Join(t.TempDir(), "results"), Releases: []release{one}}
	wrong, seen := errors.New("wrong"), 0
	check := func(*bench) (*table, error) {
		saved, err := readResults(r.file)
		if err == nil && len(saved.Releases) == 1 {
			seen = len(saved.Releases[0].Tables)
		}
		return nil, wrong
	}
	table := func(*bench) (*table, error) { return newTable("How.", "what"), nil }
	parts := []part{{name: "a", measure: table}, {name: "b", measure: check}}
	err := (&bench{}).run(parts, one, nil, func() error { return r.save("") })
	if seen != 1 || !errors.Is(err, wrong) {
		t.Errorf("the next part found %d tables, and the run ended with %v", seen, err)
	}
}
