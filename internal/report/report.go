// Package report writes what --report asks for. docs/reference/json.md documents the
// fields.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/internal/secret"
	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
)

// Report is what happened to one run. Kind, Name, Broker, ID and Started are for the
// caller to set; the methods set the rest.
type Report struct {
	Result     string        `json:"result"`
	ExitStatus int           `json:"exit_status"`
	Kind       amqplock.Kind `json:"kind"`
	Name       string        `json:"name"`
	Broker     string        `json:"broker"`
	ID         string        `json:"id"`
	Started    time.Time     `json:"started"`
	Waited     float64       `json:"waited"`
	Slots      []int         `json:"slots,omitempty"`
	Token      int64         `json:"token,omitempty"`
	Held       float64       `json:"held,omitempty"`
	Paused     float64       `json:"paused,omitempty"`
	Unheld     float64       `json:"unheld,omitempty"`
	Command    *Command      `json:"command,omitempty"`
	Error      string        `json:"error,omitempty"`
	Hint       string        `json:"hint,omitempty"`

	granted, released time.Time
}

// Command is how the command ended: by itself with Status, or by Signal, which leaves
// Status at 128+n.
type Command struct {
	Status int    `json:"status"`
	Signal string `json:"signal,omitempty"`
}

// Granted notes that broker has granted the slots, with a fencing token that is not 0.
func (r *Report) Granted(broker string, slots []int, token int64) {
	r.granted, r.Broker, r.Slots, r.Token = time.Now(), broker, slots, token
}

// Released notes that the lock was given back, and how the command ended.
func (r *Report) Released(status runner.Status) {
	r.released = time.Now()
	if status.Started {
		r.Command = &Command{Status: status.ExitCode()}
		if s, ok := status.Signal(); ok {
			r.Command.Signal = signals.Name(s)
		}
	}
}

// Without notes for how long the lock was lost before it was held again: while the
// command was paused, and while it went on.
func (r *Report) Without(paused, unheld time.Duration) {
	r.Paused, r.Unheld = seconds(paused), seconds(unheld)
}

// Write completes the report with the end of the run, which was err if it is not nil, and
// replaces the file at path.
func (r *Report) Write(path string, err error, status int) error {
	r.Result, r.ExitStatus = Result(err), status
	if err != nil {
		r.Error, r.Hint = secret.Redact(err.Error()), secret.Redact(exit.Hint(err))
	}
	if r.granted.IsZero() {
		r.granted = time.Now()
		r.released = r.granted
	}
	r.Waited, r.Held = seconds(r.granted.Sub(r.Started)), seconds(r.released.Sub(r.granted))
	r.Started = r.Started.UTC().Round(time.Millisecond)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return err
	}
	return write(path, text.Bytes())
}

func seconds(d time.Duration) float64 { return d.Round(time.Microsecond).Seconds() }

// Result is the word for how a run ended. The exit status says more about an "error".
func Result(err error) string {
	var by *exit.Interrupted
	var start *runner.StartError
	switch {
	case err == nil:
		return "ended"
	case errors.As(err, &by):
		return "interrupted"
	case errors.As(err, &start):
		return "not-started"
	case errors.Is(err, amqplock.ErrLost):
		return "lost"
	case errors.Is(err, amqplock.ErrNotAcquired):
		return "not-acquired"
	}
	return "error"
}
