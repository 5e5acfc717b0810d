package console

import (
	"fmt"
	"io"

	"github.com/amqprun/amqprun/amqplock"
)

// WriteFindings writes what doctor has found for people, a line each.
func WriteFindings(w io.Writer, list []amqplock.Finding) error {
	for _, f := range list {
		line := fmt.Sprintf("%-8s %-11s %s", f.Level, f.Check, f.Text)
		if f.Fix != "" {
			line += "; to do: " + f.Fix
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// WriteFindingsJSON writes them in one line.
func WriteFindingsJSON(w io.Writer, list []amqplock.Finding) error {
	return encode(w, struct {
		Version  int                `json:"version"`
		Findings []amqplock.Finding `json:"findings"`
	}{1, list})
}
