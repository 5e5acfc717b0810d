package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// quantile returns the q-th of the sorted values, 0 <= q <= 1.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func median(values []time.Duration) time.Duration {
	return quantile(slices.Sorted(slices.Values(values)), 0.5)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1e3) }

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", float64(a)/float64(b)) }

func mib(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }

// table prints Markdown.
type table struct{ rows [][]string }

func newTable(columns ...string) *table {
	rule := make([]string, len(columns))
	for i := range rule {
		rule[i] = "---:"
	}
	rule[0] = "---"
	return &table{rows: [][]string{columns, rule}}
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(title string) {
	fmt.Printf("\n%s\n\n", title)
	for _, row := range t.rows {
		fmt.Printf("| %s |\n", strings.Join(row, " | "))
	}
}
