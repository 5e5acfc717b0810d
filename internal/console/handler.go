package console

import (
	"context"
	"log/slog"
)

// Logger returns a logger that prints here. Debug is for steps.
func (c *Console) Logger() *slog.Logger { return slog.New(handler{c}) }

// handler prints the records of a logger. Whoever logs here puts all in the message, so
// attributes and groups are not printed.
type handler struct{ c *Console }

func (h handler) Enabled(_ context.Context, level slog.Level) bool { return h.c.enabled(level) }
func (h handler) WithAttrs([]slog.Attr) slog.Handler               { return h }
func (h handler) WithGroup(string) slog.Handler                    { return h }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	h.c.say(message{level: r.Level, text: r.Message})
	return nil
}
