package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// Everything that amqprun says goes to standard error, in text with its name before it; standard output is the command's. It is lower case,
// without a full stop. A standard error that nobody reads is no reason to fail, and none to keep signals from the command or the lock from its checks: all
// but the error at the end is left out then.

// messages is how amqprun speaks; there is one standard error.
var messages struct {
	sync.Mutex
	json   bool
	since  time.Time // the start of amqprun
	live   string    // what stands on the terminal until it is erased, without an end of line
	unread int       // how many messages standard error has not taken
}

// message is one thing that is said; with --log-format json, one line.
type message struct {
	Time    string  `json:"time"` // RFC 3339
	Level   level   `json:"level"`
	Msg     string  `json:"msg"`
	Hint    string  `json:"hint,omitempty"`
	Elapsed float64 `json:"elapsed"` // seconds since the start

	timed bool // tell the time in text too
}

type level string

const (
	levelError   level = "error"
	levelWarning level = "warning"
	levelInfo    level = "info"
)

// text is the message as people read it.
func (m message) text() string {
	text := "amqprun: " + m.Msg + "\n"
	switch {
	case m.timed:
		text = fmt.Sprintf("amqprun: [%7.3fs] %s\n", m.Elapsed, m.Msg)
	case m.Level != levelInfo:
		text = fmt.Sprintf("amqprun: %s: %s\n", m.Level, m.Msg)
	}
	if m.Hint != "" {
		text += fmt.Sprintf("amqprun: hint: %s\n", m.Hint)
	}
	return text
}

func say(m message) {
	m.Msg = withoutPasswords(m.Msg)
	messages.Lock()
	defer messages.Unlock()
	patience := 100 * time.Millisecond
	if messages.unread > 0 { // it has been waited for
		patience = 0
	}
	if m.Level != levelError && !writable(patience) {
		messages.unread++
		return
	}
	if n := messages.unread; n > 0 {
		messages.unread = 0
		put(message{Level: levelWarning, Msg: fmt.Sprintf("%d messages were left out: standard error took none", n)})
	}
	put(m)
}

// put is for who has the lock of messages.
func put(m message) {
	now := time.Now()
	m.Time, m.Elapsed = now.Format("2006-01-02T15:04:05.000Z07:00"), now.Sub(messages.since).Round(time.Microsecond).Seconds()
	if !messages.json {
		write(aroundLive(m.text()))
		return
	}
	line, _ := json.Marshal(m) // strings and a number: cannot fail
	write(string(line) + "\n")
}

// sayError prints err, and the hint that goes with it.
func sayError(err error) {
	say(message{Level: levelError, Msg: err.Error(), Hint: hint(err)})
}

// hint says what to do about err; "" where there is nothing to say.
func hint(err error) string {
	var known *amqplock.Error
	var usage *usageError
	switch {
	case errors.As(err, &known):
		return known.Hint
	case errors.As(err, &usage):
		return usage.hint
	}
	return ""
}

// logf tells a step to who asked for it.
func (o *options) logf(format string, args ...any) {
	if o.verbose {
		say(message{Level: levelInfo, Msg: fmt.Sprintf(format, args...), timed: true})
	}
}

// warnf tells what everyone should know who did not ask for silence.
func (o *options) warnf(format string, args ...any) {
	if !o.quiet {
		say(message{Level: levelWarning, Msg: fmt.Sprintf(format, args...)})
	}
}

// logFormat is the value of --log-format.
type logFormat struct{}

func (logFormat) String() string { return "" }

func (logFormat) Set(text string) error {
	if text != "text" && text != "json" {
		return errors.New("neither text nor json")
	}
	messages.json = text == "json"
	return nil
}
