package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// status shows one lock, or, when none is named, all that somebody holds or waits for.
func status(c *cli.Context, o *options) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if o.watch {
		return watch(c, o)
	}
	return writeStatus(os.Stdout, c, o)
}

// allLocks is the JSON object for several locks.
type allLocks struct {
	Version int               `json:"version"`
	Locks   []amqplock.Status `json:"locks"`
}

func writeStatus(w io.Writer, c *cli.Context, o *options) error {
	if o.lock.Logf == nil {
		o.lock.Logf = o.logf
	}
	client, err := o.lock.client()
	if err != nil {
		return err
	}
	if o.lock.Kind != "" {
		s, err := client.Inspect(c.Context, o.lock.Ref)
		switch {
		case err != nil:
			return err
		case o.json:
			return json.NewEncoder(w).Encode(s)
		}
		return writeLock(w, s)
	}
	all, err := client.InspectAll(c.Context)
	switch {
	case err != nil:
		return err
	case o.json:
		return json.NewEncoder(w).Encode(allLocks{Version: 1, Locks: all})
	case len(all) == 0:
		_, err = fmt.Fprintln(w, "nobody tells of a lock")
		return err
	}
	for i, s := range all {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		if err := writeLock(w, s); err != nil {
			return err
		}
	}
	return nil
}

// writeLock writes one lock for people.
func writeLock(w io.Writer, s amqplock.Status) error {
	_, err := fmt.Fprintf(w, "%s %q: %s\n", s.Kind, s.Name, inWords(s))
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

// rows are the table of those who hold and wait, without a column for notes where there are none.
func rows(s amqplock.Status) [][]string {
	header := []string{"PLACE", "ID", "WHO", "PID", "SINCE", "FOR", "NOTES", "COMMAND"}
	rows := [][]string{header}
	for _, p := range s.Holders {
		place := "holder"
		if s.Kind == amqplock.KindSemaphore {
			place = map[bool]string{true: "slot ", false: "slots "}[len(p.Slots) == 1] + slotWords(p.Slots)
		}
		rows = append(rows, row(place, p))
	}
	for _, p := range s.Waiters {
		place := "waits"
		if p.Position > 0 {
			place = "line " + strconv.Itoa(p.Position)
		}
		rows = append(rows, row(place, p))
	}
	notes := slices.Index(header, "NOTES")
	if !slices.ContainsFunc(rows[1:], func(row []string) bool { return row[notes] != "-" }) {
		for i := range rows {
			rows[i] = slices.Delete(rows[i], notes, notes+1)
		}
	}
	return rows
}

// row shows "-" for what is not known.
func row(place string, p amqplock.Participant) []string {
	if p.Unknown {
		return []string{place, "-", "unknown holder", "-", "-", "-", "-", "-"}
	}
	notes := []string{}
	if p.Job != "" {
		notes = append(notes, p.Job)
	}
	for _, key := range slices.Sorted(maps.Keys(p.Metadata)) {
		notes = append(notes, key+"="+p.Metadata[key])
	}
	return []string{
		place, p.ID, p.User + "@" + p.Host, strconv.Itoa(p.PID), p.Since.Local().Format(time.DateTime),
		time.Duration(p.Seconds * float64(time.Second)).Round(time.Second).String(), dash(strings.Join(notes, " ")), p.Command,
	}
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func inWords(s amqplock.Status) string {
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
	return text
}

// watchInterval is that of watch(1).
const watchInterval = 2 * time.Second

// watch draws the status again and again, until a signal. A broker that goes away is shown, and may come back.
func watch(c *cli.Context, o *options) error {
	if o.json {
		return &usageError{text: "--watch and --json exclude each other", hint: "run status --json again and again"}
	}
	if _, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ); err != nil {
		return &usageError{text: "--watch needs a terminal as its standard output", hint: "without --watch, status prints once"}
	}
	clearAll := "\x1b[2J"
	for {
		var text strings.Builder
		switch err := writeStatus(&text, c, o); {
		case errors.Is(err, amqplock.ErrUnreachable):
			text.WriteString("amqprun: error: " + err.Error() + "\n")
		case err != nil:
			return err
		}
		size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return fmt.Errorf("the terminal is gone: %w", err)
		}
		_, err = fmt.Print(clearAll + frame(text.String(), time.Now(), int(size.Col), int(size.Row)))
		if err != nil {
			return fmt.Errorf("the terminal is gone: %w", err)
		}
		clearAll = ""
		select {
		case <-time.After(watchInterval):
		case <-c.Context.Done():
			return c.Context.Err()
		}
	}
}

// frame is what to send to a terminal of that size, whose lines are overwritten one by one so that nothing flickers.
func frame(text string, now time.Time, columns, rows int) string {
	lines := append([]string{now.Format(time.DateTime)}, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
	if rows > 1 && len(lines) > rows-1 { // a line that is full would scroll
		lines = lines[:rows-1]
	}
	drawn := "\x1b[H"
	for _, line := range lines {
		if runes := []rune(line); columns > 0 && len(runes) > columns {
			line = string(runes[:columns])
		}
		drawn += line + "\x1b[K\n"
	}
	return drawn + "\x1b[J"
}
