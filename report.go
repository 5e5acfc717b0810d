package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
	"golang.org/x/sys/unix"
)

// report is what --report writes at the end. docs/REPORT.md tells what the fields mean.
type report struct {
	Result     string         `json:"result"`
	ExitStatus int            `json:"exit_status"`
	Kind       amqplock.Kind  `json:"kind"`
	Name       string         `json:"name"`
	Broker     string         `json:"broker"`
	ID         string         `json:"id"`
	Started    time.Time      `json:"started"`
	Waited     float64        `json:"waited"`
	Slots      []int          `json:"slots,omitempty"`
	Held       float64        `json:"held,omitempty"`
	Command    *commandReport `json:"command,omitempty"`
	Error      string         `json:"error,omitempty"`
	Hint       string         `json:"hint,omitempty"`

	begun, granted, released time.Time
}

// commandReport is how the command ended: by itself with Status, or of Signal, which leaves Status at 128+n.
type commandReport struct {
	Status int    `json:"status"`
	Signal string `json:"signal,omitempty"`
}

// The results. Of the errors that several causes can have the exit status tells which.
const (
	resultEnded       = "ended"
	resultNotStarted  = "not-started"
	resultNotAcquired = "not-acquired"
	resultInterrupted = "interrupted"
	resultLost        = "lost"
	resultError       = "error"
)

// acquired notes the grant.
func (r *report) acquired(lock *amqplock.Lock) {
	r.granted, r.Broker = time.Now(), lock.Node()
	for _, word := range strings.Fields(slotWords(lock.Slots())) { // the numbers that the command is told
		slot, _ := strconv.Atoi(word)
		r.Slots = append(r.Slots, slot)
	}
}

// ended notes how the command ended, and why it did if not by itself.
func (r *report) ended(status runner.Status, err error) {
	r.released = time.Now()
	if status.Started {
		r.Command = &commandReport{Status: status.ExitCode()}
		if s, ok := status.Signal(); ok {
			r.Command.Signal = signals.Name(s)
		}
	}
	r.failed(err)
}

// failed sorts err into the results; nil is success.
func (r *report) failed(err error) {
	var by *interrupted
	var start *runner.StartError
	switch {
	case err == nil:
		r.Result = resultEnded
		return
	case errors.As(err, &by):
		r.Result = resultInterrupted
	case errors.As(err, &start):
		r.Result = resultNotStarted
	case errors.Is(err, amqplock.ErrLost):
		r.Result = resultLost
	case errors.Is(err, amqplock.ErrNotAcquired):
		r.Result = resultNotAcquired
	default:
		r.Result = resultError
	}
	r.Error, r.Hint = err.Error(), hint(err)
}

// write replaces the file, if there is to be one, in one step, so that nobody reads half a report.
func (r *report) write(o *options, result outcome) {
	if o.report == "" {
		return
	}
	r.Kind, r.Name, r.ID = o.lock.Kind, o.lock.Name, o.id
	if r.Broker == "" {
		r.Broker = strings.Join(o.lock.Names(), " ")
	}
	r.ExitStatus, r.Started = result.code, r.begun.Round(time.Millisecond)
	end := time.Now()
	if r.granted.IsZero() {
		r.granted, r.released = end, end
	}
	r.Waited, r.Held = seconds(r.granted.Sub(r.begun)), seconds(r.released.Sub(r.granted))
	next := o.report + "." + o.id
	text, err := json.Marshal(r)
	if err == nil {
		err = writeNew(next, append(text, '\n'))
	}
	if err == nil {
		err = os.Rename(next, o.report)
	}
	if err != nil {
		_ = os.Remove(next)
		o.warnf("the report cannot be written: %v", err)
	}
}

// writeNew is os.WriteFile for a file that must not exist: in a directory like /tmp somebody else may have put a link there.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

func seconds(d time.Duration) float64 { return d.Round(time.Microsecond).Seconds() }

// checkReport refuses a place where no report can be written, before anything is contacted.
func checkReport(path string) error {
	bad := func(format string, args ...any) error {
		return &usageError{text: fmt.Sprintf("--report %q: ", path) + fmt.Sprintf(format, args...)}
	}
	if path == "" {
		return bad("is empty")
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return bad("is no file that can be replaced")
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad("the directory %s does not exist", dir)
	case err != nil:
		return bad("%v", err)
	case !info.IsDir():
		return bad("%s is no directory", dir)
	case unix.Access(dir, unix.W_OK|unix.X_OK) != nil:
		return bad("the directory %s is not writable", dir)
	}
	return nil
}
