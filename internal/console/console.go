// Package console prints everything that amqprun says: messages, the line about a wait,
// and tables.
//
// Messages go to standard error, in text after the name of the program; standard output
// is the command's. They are lower case, without a full stop. A standard error that
// nobody reads is no reason to fail. It also must not keep signals from the command, or
// the lock from its checks: all messages except errors are left out then.
package console

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/amqprun/amqprun/internal/secret"
)

// Settings say what is printed, and how.
type Settings struct {
	JSON    bool // one object a line instead of text
	Verbose bool // steps too
	Quiet   bool // neither warnings nor the progress of a wait
}

// Console prints to standard error. Its methods may be called by several goroutines.
type Console struct {
	settings Settings
	began    time.Time

	mu     sync.Mutex
	live   string // what stands on the terminal until it is erased, without an end of line
	unread int    // how many messages standard error has not taken
}

// New returns a console that counts the time of its messages from began.
func New(began time.Time, settings Settings) *Console {
	return &Console{settings: settings, began: began}
}

// Quiet reports whether the user asked for silence.
func (c *Console) Quiet() bool { return c.settings.Quiet }

// Error prints err and, if it is not empty, what to do about it.
func (c *Console) Error(err error, hint string) {
	c.say(message{level: slog.LevelError, text: err.Error(), hint: hint})
}

// Warnf prints what everyone should know who did not ask for silence.
func (c *Console) Warnf(format string, args ...any) { c.sayf(slog.LevelWarn, format, args) }

// Infof prints what is worth a line although nothing is wrong.
func (c *Console) Infof(format string, args ...any) { c.sayf(slog.LevelInfo, format, args) }

// Stepf prints a step if the user asked for steps.
func (c *Console) Stepf(format string, args ...any) { c.sayf(slog.LevelDebug, format, args) }

func (c *Console) sayf(level slog.Level, format string, args []any) {
	if c.enabled(level) {
		c.say(message{level: level, text: fmt.Sprintf(format, args...)})
	}
}

// enabled reports whether messages of that level are printed. Steps are asked for by an
// option of their own, which therefore wins over --quiet.
func (c *Console) enabled(level slog.Level) bool {
	switch {
	case level >= slog.LevelError:
		return true
	case level >= slog.LevelInfo:
		return !c.settings.Quiet
	}
	return c.settings.Verbose
}

// patience is how long a message waits for a standard error that takes nothing.
const patience = 100 * time.Millisecond

func (c *Console) say(m message) {
	m.text, m.hint = secret.Redact(m.text), secret.Redact(m.hint)
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := patience
	if c.unread > 0 { // an earlier message has waited already
		wait = 0
	}
	if m.level < slog.LevelError && !writable(wait) {
		c.unread++
		return
	}
	if n := c.unread; n > 0 {
		c.unread = 0
		text := fmt.Sprintf("%d messages are missing here: standard error was blocked", n)
		c.put(message{level: slog.LevelWarn, text: text})
	}
	c.put(m)
}

// put prints one message. The caller has locked mu, so that the times never go back.
func (c *Console) put(m message) {
	now := time.Now()
	elapsed := now.Sub(c.began)
	if c.settings.JSON {
		_ = jsonLines(stderr{}).Handle(context.Background(), m.record(now, elapsed))
		return
	}
	write(c.beforeLive(m.lines(elapsed)))
}

// showLive replaces the live line; an empty text erases it.
func (c *Console) showLive(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text == c.live {
		return
	}
	if ownsTerminal() {
		write(eraseLine + fitTerminal(text))
	}
	c.live = text
}

// beforeLive returns what to write so that text stands before the live line.
func (c *Console) beforeLive(text string) string {
	if c.live == "" || !ownsTerminal() {
		return text
	}
	return eraseLine + text + fitTerminal(c.live)
}

// canRedraw reports whether a line on standard error can be drawn again and again.
func (c *Console) canRedraw() bool { return !c.settings.JSON && isTerminal() }
