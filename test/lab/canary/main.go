// Command canary is the command that the laboratory runs under a lock. It leaves traces
// that show when it ran, and whether two of it ran at once. They are a journal, and a set
// that it changes by an unsynchronised read, pause and write.
//
//	canary [-id NAME] [-for TIME] [-beat TIME] [-deaf] DIR
//
// The journal, DIR/journal, has one line an event, appended in one write: kind, run,
// slot, CLOCK_BOOTTIME in nanoseconds and perhaps more words. "start" has the process id,
// and the fencing token if there is one. "beat" comes every few milliseconds. "added" has
// the element, and "signal" its name. The last is "end". The set is DIR/set-SLOT. It
// ends after the time, or at SIGTERM; a deaf one only notes the signal. One of hundreds
// may beat more slowly until it gets SIGTERM.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// beat is how exactly the end of a killed run is known.
const beat = 5 * time.Millisecond

// pauseBeats are between the reading and the writing of the set.
const pauseBeats = 4

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "canary:", err)
		os.Exit(1)
	}
}

type canary struct {
	journal *os.File
	id      string
	slot    string
	set     string
}

func run() error {
	id := flag.String("id", os.Getenv("AMQPRUN_ID"), "what the journal calls this run")
	length := flag.Duration("for", time.Hour, "how long to run")
	deaf := flag.Bool("deaf", false, "go on after SIGTERM")
	calm := flag.Duration("beat", beat, "between two signs of life, until SIGTERM")
	flag.Parse()
	dir := flag.Arg(0)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM)
	journal, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_APPEND|os.O_CREATE|os.O_WRONLY,
		0o600)
	if err != nil {
		return err
	}
	c := canary{journal: journal, id: *id, slot: os.Getenv("AMQPRUN_SLOT")}
	if c.slot == "" {
		return fmt.Errorf("not run by amqprun")
	}
	c.set = filepath.Join(dir, "set-"+c.slot)
	c.note("start", strconv.Itoa(os.Getpid())+" "+os.Getenv("AMQPRUN_TOKEN"))
	end := time.After(*length)
	tick := time.NewTicker(*calm)
	for n := 0; ; {
		seen, err := os.ReadFile(c.set)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		for range pauseBeats {
			select {
			case s := <-signals:
				c.note("signal", s.String())
				tick.Reset(beat)
				if !*deaf {
					c.note("end", "")
					return nil
				}
			case <-end:
				c.note("end", "")
				return nil
			case <-tick.C:
				c.note("beat", "")
			}
		}
		n++
		if err := c.add(seen, fmt.Sprintf("%s.%d", c.id, n)); err != nil {
			return err
		}
	}
}

// add writes the set as it was read, with one more element. It is renamed into its place:
// a run killed in the middle leaves no half a set.
func (c canary) add(seen []byte, element string) error {
	draft := c.set + "." + c.id
	if err := os.WriteFile(draft, append(seen, element+"\n"...), 0o600); err != nil {
		return err
	}
	if err := os.Rename(draft, c.set); err != nil {
		return err
	}
	c.note("added", element)
	return nil
}

// note appends to the journal; without it the run would prove nothing, so a failure ends
// it.
func (c canary) note(kind, word string) {
	now := sys.Boottime().Nanoseconds()
	_, err := fmt.Fprintf(c.journal, "%s %s %s %d %s\n", kind, c.id, c.slot, now, word)
	if err != nil {
		panic(err)
	}
}
