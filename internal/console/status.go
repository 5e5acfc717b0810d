package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// WriteLock writes the status of one lock for people.
func WriteLock(w io.Writer, s amqplock.Status) error {
	_, err := fmt.Fprintf(w, "%s %q: %s\n", s.Kind, s.Name, summary(s))
	if len(s.Holders)+len(s.Waiters) == 0 || err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows(s) {
		_, _ = fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	err = table.Flush()
	unknown := s.Waiting
	for _, p := range s.Waiters {
		if p.Position > 0 {
			unknown--
		}
	}
	if unknown > 0 && err == nil {
		_, err = fmt.Fprintf(w, "%d more in line, of whom nothing is known\n", unknown)
	}
	return err
}

// WriteLocks writes the status of several locks for people.
func WriteLocks(w io.Writer, all []amqplock.Status) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no holder or waiter answered: "+
			"no lock is in use, or permissions hide it")
		return err
	}
	for i, s := range all {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		if err := WriteLock(w, s); err != nil {
			return err
		}
	}
	return nil
}

// AllLocks is the JSON object for several locks.
type AllLocks struct {
	Version int               `json:"version"`
	Locks   []amqplock.Status `json:"locks"`
}

// WriteJSON writes one lock in one line.
func WriteJSON(w io.Writer, s amqplock.Status) error { return encode(w, inUTC(s)) }

// WriteAllJSON writes several locks in one line.
func WriteAllJSON(w io.Writer, locks []amqplock.Status) error {
	all := AllLocks{Version: 1, Locks: []amqplock.Status{}}
	for _, s := range locks {
		all.Locks = append(all.Locks, inUTC(s))
	}
	return encode(w, all)
}

func encode(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // the reader is no browser
	return encoder.Encode(v)
}

func inUTC(s amqplock.Status) amqplock.Status {
	for _, list := range [][]amqplock.Participant{s.Holders, s.Waiters} {
		for i := range list {
			list[i].Since = list[i].Since.UTC()
		}
	}
	return s
}

// summary is the first line about a lock.
func summary(s amqplock.Status) string {
	text := fmt.Sprintf("%d slots, %d held, %d free", s.Slots, s.Held, s.Free)
	switch {
	case s.Kind == amqplock.KindMutex && s.Held > 0:
		text = "held"
	case s.Kind == amqplock.KindMutex:
		text = "free"
	case s.Slots == 0:
		text = "0 slots (paused)"
	case s.Slots == 1:
		text = fmt.Sprintf("1 slot, %d held, %d free", s.Held, s.Free)
	}
	if s.Waiting > 0 {
		text += fmt.Sprintf(", %d waiting", s.Waiting)
	}
	if s.Drain != nil {
		text += fmt.Sprintf("; a drain leaves %d of them, %d free", s.Drain.To, s.Drain.Free)
	}
	return text
}

// rows are the table of holders and waiters. A column for notes is there only where there
// is one.
func rows(s amqplock.Status) [][]string {
	header := []string{"PLACE", "ID", "WHO", "PID", "SINCE", "FOR", "NOTES", "COMMAND"}
	rows := [][]string{header}
	for _, p := range s.Holders {
		rows = append(rows, row(holderPlace(s.Kind, p.Slots), p))
	}
	for _, p := range s.Waiters {
		place := "waits"
		if p.Position > 0 {
			place = "line " + strconv.Itoa(p.Position)
		}
		if p.Priority != 0 {
			place += fmt.Sprint(", priority ", p.Priority)
		}
		if len(p.Collected) > 0 {
			place += ", has " + holderPlace(s.Kind, p.Collected)
		}
		rows = append(rows, row(place, p))
	}
	notes := slices.Index(header, "NOTES")
	if !slices.ContainsFunc(rows[1:], func(row []string) bool { return row[notes] != unknown }) {
		for i := range rows {
			rows[i] = slices.Delete(rows[i], notes, notes+1)
		}
	}
	return rows
}

func holderPlace(kind amqplock.Kind, slots []int) string {
	switch {
	case kind == amqplock.KindMutex:
		return "holder"
	case len(slots) == 1:
		return fmt.Sprint("slot ", slots[0])
	}
	return "slots " + strings.Trim(fmt.Sprint(slots), "[]")
}

// unknown stands in a cell of which nothing is known.
const unknown = "-"

func row(place string, p amqplock.Participant) []string {
	if p.Unknown {
		return []string{place, unknown, "unknown holder", unknown, unknown, unknown, unknown, unknown}
	}
	lasts := time.Duration(p.Seconds * float64(time.Second)).Round(time.Second)
	return []string{
		place, p.ID, p.User + "@" + p.Host, strconv.Itoa(p.PID), p.Since.Local().Format(time.DateTime),
		lasts.String(), notes(p.About), p.Command,
	}
}

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
