package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/amqprun/amqprun/amqplock"
)

// unknown stands in a cell of which nothing is known.
const unknown = "-"

// writeTable aligns the columns.
func writeTable(w io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// dropEmpty leaves out a column of which nothing is known but its heading.
func dropEmpty(rows [][]string, column int) {
	if slices.ContainsFunc(rows[1:], func(row []string) bool { return row[column] != unknown }) {
		return
	}
	for i := range rows {
		rows[i] = slices.Delete(rows[i], column, column+1)
	}
}

func numbers(list []int) string { return strings.Trim(fmt.Sprint(list), "[]") }

// notes are the URL of a CI job and the metadata.
func notes(about amqplock.About) string {
	notes := []string{}
	if about.Job != "" {
		notes = append(notes, about.Job)
	}
	for _, key := range slices.Sorted(maps.Keys(about.Metadata)) {
		notes = append(notes, key+"="+about.Metadata[key])
	}
	return cmp.Or(strings.Join(notes, " "), unknown)
}

// encode writes v as JSON, in one line.
func encode(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // the reader is no browser
	return encoder.Encode(v)
}
