package console

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// WriteHistory writes runs for people, as a table. It leaves out columns that are empty.
func WriteHistory(w io.Writer, runs []amqplock.Run) error {
	if len(runs) == 0 {
		_, err := fmt.Fprintln(w, "no run is recorded")
		return err
	}
	rows := [][]string{{"GRANTED", "FOR", "SLOT", "TOKEN", "ID", "WHO", "END", "NOTES", "COMMAND"}}
	for _, run := range runs {
		rows = append(rows, runRow(run))
	}
	for column := range slices.Backward(rows[0]) {
		dropEmpty(rows, column)
	}
	return writeTable(w, rows)
}

// WriteRun writes one run for people, in one line.
func WriteRun(w io.Writer, run amqplock.Run) error {
	cells := slices.DeleteFunc(runRow(run), func(cell string) bool { return cell == unknown })
	_, err := fmt.Fprintln(w, strings.Join(cells, "  "))
	return err
}

func runRow(run amqplock.Run) []string {
	row := []string{
		run.Granted.Local().Format(time.DateTime), "", numbers(run.Slots), "", run.ID,
		"", howEnded(run), notes(run.About), run.Command,
	}
	if !run.Ended.IsZero() {
		row[1] = roughly(run.Seconds)
	}
	if run.Token != 0 {
		row[3] = strconv.FormatInt(run.Token, 10)
	}
	if run.Host != "" {
		row[5] = run.User + "@" + run.Host
	}
	for i := range row {
		row[i] = cmp.Or(row[i], unknown)
	}
	return row
}

// roughly is a time in seconds for people.
func roughly(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func howEnded(run amqplock.Run) string {
	switch {
	case run.Result == amqplock.ResultUnknown:
		return "no end recorded"
	case run.Result != "ended":
		return run.Result
	case run.Signal != "":
		return run.Signal
	case run.Status != nil:
		return fmt.Sprintf("exit %d", *run.Status)
	}
	return run.Result
}

// History is the JSON object for the history of one lock.
type History struct {
	Version int            `json:"version"`
	Kind    amqplock.Kind  `json:"kind"`
	Name    string         `json:"name"`
	Runs    []amqplock.Run `json:"runs"`
}

// WriteHistoryJSON writes runs in one line.
func WriteHistoryJSON(w io.Writer, lock amqplock.Ref, runs []amqplock.Run) error {
	all := History{Version: 1, Kind: lock.Kind, Name: lock.Name, Runs: []amqplock.Run{}}
	for _, run := range runs {
		all.Runs = append(all.Runs, runInUTC(run))
	}
	return encode(w, all)
}

// WriteRunJSON writes one run in one line.
func WriteRunJSON(w io.Writer, run amqplock.Run) error { return encode(w, runInUTC(run)) }

func runInUTC(run amqplock.Run) amqplock.Run {
	run.Granted, run.Ended = milliseconds(run.Granted), milliseconds(run.Ended)
	return run
}

func milliseconds(t time.Time) time.Time { return t.UTC().Round(time.Millisecond) }
