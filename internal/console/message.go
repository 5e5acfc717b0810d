package console

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// message is one thing to print.
type message struct {
	level slog.Level
	text  string
	hint  string
}

// levelName is the level as people and programs read it. A step is information too.
func levelName(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "error"
	case level >= slog.LevelWarn:
		return "warning"
	}
	return "info"
}

// lines is the message as people read it. Steps carry the time since the start.
func (m message) lines(elapsed time.Duration) string {
	var line string
	switch {
	case m.level < slog.LevelInfo:
		line = fmt.Sprintf("amqprun: [%7.3fs] %s\n", elapsed.Seconds(), m.text)
	case m.level == slog.LevelInfo:
		line = "amqprun: " + m.text + "\n"
	default:
		line = fmt.Sprintf("amqprun: %s: %s\n", levelName(m.level), m.text)
	}
	if m.hint != "" {
		line += "amqprun: hint: " + m.hint + "\n"
	}
	return line
}

// record is the message for jsonLines.
func (m message) record(now time.Time, elapsed time.Duration) slog.Record {
	r := slog.NewRecord(now, m.level, m.text, 0)
	if m.hint != "" {
		r.AddAttrs(slog.String("hint", m.hint))
	}
	r.AddAttrs(slog.Float64("elapsed", elapsed.Round(time.Microsecond).Seconds()))
	return r
}

// jsonLines writes one object a line. README.md documents its fields.
func jsonLines(w io.Writer) slog.Handler {
	documented := func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.TimeKey:
			a.Value = slog.StringValue(a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
		case slog.LevelKey:
			if level, ok := a.Value.Any().(slog.Level); ok {
				a.Value = slog.StringValue(levelName(level))
			}
		}
		return a
	}
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug,
		ReplaceAttr: documented})
}
