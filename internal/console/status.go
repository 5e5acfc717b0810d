package console

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// WriteLock writes the status of one lock for people.
func WriteLock(w io.Writer, s amqplock.Status) error {
	_, err := fmt.Fprintf(w, "%s %q: %s\n", s.Kind, s.Name, summary(s))
	if len(s.Holders)+len(s.Waiters) == 0 || err != nil {
		return err
	}
	err = writeTable(w, rows(s))
	silent := s.Waiting
	for _, p := range s.Waiters {
		if p.Position > 0 {
			silent--
		}
	}
	if silent > 0 && err == nil {
		_, err = fmt.Fprintf(w, "%d more in line, of whom nothing is known\n", silent)
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
	dropEmpty(rows, slices.Index(header, "NOTES"))
	return rows
}

func holderPlace(kind amqplock.Kind, slots []int) string {
	switch {
	case kind == amqplock.KindMutex:
		return "holder"
	case len(slots) == 1:
		return fmt.Sprint("slot ", slots[0])
	}
	return "slots " + numbers(slots)
}

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
