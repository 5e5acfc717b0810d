package main

import (
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
