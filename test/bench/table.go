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

// spread is the median, and the 10th and the 90th percentile, in milliseconds.
func spread(values []time.Duration) (median, p10, p90 string) {
	sorted := slices.Sorted(slices.Values(values))
	return ms(quantile(sorted, 0.5)), ms(quantile(sorted, 0.1)), ms(quantile(sorted, 0.9))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1e3) }

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", float64(a)/float64(b)) }

// pair is a cell with a second value.
func pair(value, second string) string { return value + " (" + second + ")" }

func mib(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }

// table is what a part has found out on one release of RabbitMQ.
type table struct {
	Title   string     // How it was measured.
	Columns []string   // The first is that of the rows' names.
	Rows    [][]string // Each begins with its name.
	Points  [][]string // For the picture: name, median, 10th and 90th percentile.
}

func newTable(title string, columns ...string) *table {
	return &table{Title: title, Columns: columns}
}

func (t *table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// point adds to the picture.
func (t *table) point(name string, values []time.Duration) {
	middle, p10, p90 := spread(values)
	t.Points = append(t.Points, []string{name, middle, p10, p90})
}

// markdown is the table as a paragraph of text.
func (t *table) markdown() string {
	line := func(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }
	text := t.Title + "\n\n" + line(t.Columns) +
		"|---|" + strings.Repeat("---:|", len(t.Columns)-1) + "\n"
	for _, row := range t.Rows {
		text += line(row)
	}
	return text
}
