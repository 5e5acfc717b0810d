package main

import (
	"fmt"
	"io"
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

// spread is the median, and the 10th and the 90th percentile, in milliseconds.
func spread(values []time.Duration) (median, p10, p90 string) {
	sorted := slices.Sorted(slices.Values(values))
	return ms(quantile(sorted, 0.5)), ms(quantile(sorted, 0.1)), ms(quantile(sorted, 0.9))
}

// point is what the pictures show.
func point(label string, values []time.Duration) string {
	median, p10, p90 := spread(values)
	return label + " " + median + " " + p10 + " " + p90
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1e3) }

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", float64(a)/float64(b)) }

func mib(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }

// table prints Markdown.
type table struct{ lines []string }

func newTable(columns ...string) *table {
	t := &table{}
	t.add(columns...)
	t.lines = append(t.lines, "|---|"+strings.Repeat("---:|", len(columns)-1))
	return t
}

func (t *table) add(cells ...string) {
	t.lines = append(t.lines, "| "+strings.Join(cells, " | ")+" |")
}

func (t *table) print(w io.Writer, title string) {
	fmt.Fprintf(w, "\n%s\n\n%s\n", title, strings.Join(t.lines, "\n"))
}
