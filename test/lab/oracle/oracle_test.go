package oracle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write makes a directory with that journal and the sets.
func write(t *testing.T, journal []string, sets map[int]string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"journal": strings.Join(journal, "\n")}
	for slot, set := range sets {
		files[fmt.Sprintf("set-%d", slot)] = set
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t *testing.T, journal []string, sets map[int]string) *History {
	t.Helper()
	h, err := Read(write(t, journal, sets))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestOverlap(t *testing.T) {
	ab := []string{"start a 1 100 ", "start b 1 150 ", "beat a 1 170 ", "end b 1 300 "}
	for _, test := range []struct {
		name    string
		journal []string
		limit   int
		want    time.Duration
		slot    time.Duration
	}{
		{"nobody", nil, 1, 0, 0},
		{"one after the other", []string{
			"start a 1 100 ", "end a 1 200 ", "start b 1 200 ", "end b 1 300 ",
		}, 1, 0, 0},
		{"the killed one lives until its last beat", ab, 1, 20, 20},
		{"within the limit, but in one slot", ab, 2, 0, 20},
		{"a limit of two", []string{
			"start a 1 0 ", "start b 2 10 ", "start c 3 20 ",
			"end a 1 25 ", "end b 2 30 ", "end c 3 40 ",
		}, 2, 5, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := read(t, test.journal, nil)
			if got := h.Overlap(test.limit); got != test.want {
				t.Errorf("Overlap(%d) = %d, want %d", test.limit, got, test.want)
			}
			if got := h.SlotOverlap(); got != test.slot {
				t.Errorf("SlotOverlap = %d, want %d", got, test.slot)
			}
		})
	}
}

func TestPairs(t *testing.T) {
	h := read(t, []string{
		"start a 1 0 ", "start b 2 1 ", "start c 1 5 ", "end c 1 8 ",
		"end a 1 9 ", "end b 2 9 ", "start d 1 9 ",
	}, nil)
	pairs := h.Pairs()
	if len(pairs) != 1 || pairs[0].First.ID != "a" || pairs[0].Second.ID != "c" ||
		pairs[0].Length != 3 {
		t.Errorf("got %+v, want a and c for 3", pairs)
	}
}

func TestLostUpdates(t *testing.T) {
	journal := []string{
		"start a 1 0 ",
		"added a 1 5 a.1",
		"start b 2 1 ", "added b 2 6 b.1",
		"added b 2 7 b.2", "end a 1 9 ",
	}
	for _, test := range []struct {
		sets map[int]string
		want string
	}{
		{map[int]string{1: "a.1\n", 2: "b.1\nb.2\n"}, "[]"},
		{map[int]string{1: "x.1\n", 2: "b.2\n"}, "[a.1 b.1]"},
		{nil, "[a.1 b.1 b.2]"},
	} {
		lost, err := read(t, journal, test.sets).LostUpdates()
		if got := fmt.Sprint(lost); err != nil || got != test.want {
			t.Errorf("sets %v: LostUpdates = %s, %v, want %s", test.sets, got, err, test.want)
		}
	}
}

func TestReadRefusesWhatCannotBe(t *testing.T) {
	for _, line := range []string{
		"beat a 1 100 ", "start a 1", "start a x 100 ", "start a 1 100 7 token",
	} {
		if _, err := Read(write(t, []string{line}, nil)); err == nil {
			t.Errorf("%q was read", line)
		}
	}
	if _, err := Read(write(t, []string{"start a 1 1 ", "start a 1 2 "}, nil)); err == nil {
		t.Error("a run that started twice was read")
	}
}
