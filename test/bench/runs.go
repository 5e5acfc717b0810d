package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// ran is a command's label, and when it ran.
type ran struct {
	label      string
	begin, end time.Duration
}

// readRuns reads what n times test/bench/stamp wrote. Commands that overlap are an error:
// then nothing was locked.
func readRuns(stamps string, n int) ([]ran, error) {
	file, err := os.Open(stamps)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	defer os.Remove(stamps)
	var runs []ran
	for {
		var run ran
		if _, err := fmt.Fscan(file, &run.label, &run.begin, &run.end); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	if len(runs) != n {
		return nil, fmt.Errorf("%d of %d commands have run", len(runs), n)
	}
	slices.SortFunc(runs, func(a, b ran) int { return cmp.Compare(a.begin, b.begin) })
	for i := 1; i < len(runs); i++ {
		if runs[i].begin < runs[i-1].end {
			return nil, fmt.Errorf("two commands ran at the same time, for %v",
				runs[i-1].end-runs[i].begin)
		}
	}
	return runs, nil
}

// gapsOf are the times between the end of one and the start of the next.
func gapsOf(runs []ran) (gaps []time.Duration) {
	for i := 1; i < len(runs); i++ {
		gaps = append(gaps, runs[i].begin-runs[i-1].end)
	}
	return gaps
}
