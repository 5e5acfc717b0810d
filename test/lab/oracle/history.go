// Package oracle judges what commands under a lock left behind (see test/lab/canary). It
// knows their files and nothing of amqprun or the broker.
package oracle

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Run is one command. Times are of CLOCK_BOOTTIME.
type Run struct {
	ID       string
	Slot     int
	Pid      int   // 0 in a journal without
	Token    int64 // 0 for a lock without
	Start    time.Duration
	Last     time.Duration // the last sign of life
	Ended    bool          // by itself or by SIGTERM; false if it was killed, or still runs
	Signal   time.Duration // when SIGTERM arrived; 0: never
	elements []string
}

// History is what all runs of one lock left behind.
type History struct {
	Runs  []Run          // in the order of their starts
	index map[string]int // of a run in Runs, by its ID
	dir   string
}

// Read reads the journal in dir. A journal that does not exist is an empty one.
func Read(dir string) (*History, error) {
	text, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	h := &History{dir: dir, index: map[string]int{}}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if err := h.read(lines.Text()); err != nil {
			return nil, err
		}
	}
	return h, lines.Err()
}

func (h *History) read(line string) error {
	var kind, id, word, token string
	var slot int
	var at time.Duration
	n, err := fmt.Sscan(line, &kind, &id, &slot, &at, &word, &token)
	if n < 4 {
		return fmt.Errorf("journal line %q: %w", line, err)
	}
	i, known := h.index[id]
	if known == (kind == "start") {
		return fmt.Errorf("journal line %q: started twice, or never", line)
	}
	if !known {
		i = len(h.Runs)
		h.index[id] = i
		h.Runs = append(h.Runs, Run{ID: id, Slot: slot, Start: at})
	}
	r := &h.Runs[i]
	r.Last = at
	switch kind {
	case "start":
		r.Pid, _ = strconv.Atoi(word)
		if token != "" {
			r.Token, err = strconv.ParseInt(token, 10, 64)
			return err
		}
	case "added":
		r.elements = append(r.elements, word)
	case "signal":
		if r.Signal == 0 {
			r.Signal = at
		}
	case "end":
		r.Ended = true
	}
	return nil
}

// Find returns the run with that id, or nil.
func (h *History) Find(id string) *Run {
	if i, ok := h.index[id]; ok {
		return &h.Runs[i]
	}
	return nil
}

// Overlap is for how long, in total, more than limit runs were alive at once.
func (h *History) Overlap(limit int) time.Duration { return overlap(h.Runs, limit) }

// SlotOverlap is for how long two runs were alive at once in one slot: the longest such
// time of all slots.
func (h *History) SlotOverlap() time.Duration {
	slots := map[int][]Run{}
	for _, r := range h.Runs {
		slots[r.Slot] = append(slots[r.Slot], r)
	}
	var worst time.Duration
	for _, runs := range slots {
		worst = max(worst, overlap(runs, 1))
	}
	return worst
}

func overlap(runs []Run, limit int) time.Duration {
	type edge struct {
		at    time.Duration
		delta int
	}
	var edges []edge
	for _, r := range runs {
		edges = append(edges, edge{r.Start, 1}, edge{r.Last, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return a.delta - b.delta // one that ends as another starts does not overlap it
	})
	var total time.Duration
	alive := 0
	for i, e := range edges {
		if alive > limit {
			total += e.at - edges[i-1].at
		}
		alive += e.delta
	}
	return total
}

// Pair is two runs that were alive at once in one slot.
type Pair struct {
	First, Second *Run
	Length        time.Duration
}

// Pairs are all of those. A long run may be in several.
func (h *History) Pairs() []Pair {
	var pairs []Pair
	for i := range h.Runs {
		for j := i + 1; j < len(h.Runs); j++ {
			a, b := &h.Runs[i], &h.Runs[j]
			if a.Start > b.Start {
				a, b = b, a
			}
			if length := min(a.Last, b.Last) - b.Start; a.Slot == b.Slot && length > 0 {
				pairs = append(pairs, Pair{a, b, length})
			}
		}
	}
	return pairs
}

// LostUpdates are the elements that a run has added to the set of its slot and that are
// not there any more.
func (h *History) LostUpdates() ([]string, error) {
	var lost []string
	sets := map[int]map[string]bool{}
	for _, r := range h.Runs {
		set, ok := sets[r.Slot]
		if !ok {
			text, err := os.ReadFile(filepath.Join(h.dir, fmt.Sprintf("set-%d", r.Slot)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			set = map[string]bool{}
			for _, element := range strings.Fields(string(text)) {
				set[element] = true
			}
			sets[r.Slot] = set
		}
		for _, element := range r.elements {
			if !set[element] {
				lost = append(lost, element)
			}
		}
	}
	return lost, nil
}
