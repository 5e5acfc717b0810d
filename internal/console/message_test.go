package console

import (
	"bytes"
	"log/slog"
	"testing"
	"time"
)

func TestMessagesForPeople(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]message{
		"amqprun: error: a\namqprun: hint: b\n": {level: slog.LevelError, text: "a", hint: "b"},
		"amqprun: warning: a\n":                 {level: slog.LevelWarn, text: "a"},
		"amqprun: a\n":                          {level: slog.LevelInfo, text: "a"},
		"amqprun: [  1.500s] a\n":               {level: slog.LevelDebug, text: "a"},
	} {
		if got := m.lines(1500 * time.Millisecond); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMessagesForPrograms(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 14, 0, 0, 208e6, time.FixedZone("", 3600))
	for want, m := range map[string]message{
		`{"time":"2026-03-02T13:00:00.208Z","level":"error","msg":"<a>","hint":"b&c","elapsed":0.5}`: {
			level: slog.LevelError, text: "<a>", hint: "b&c",
		},
		`{"time":"2026-03-02T13:00:00.208Z","level":"warning","msg":"a","elapsed":0.5}`: {
			level: slog.LevelWarn, text: "a",
		},
		`{"time":"2026-03-02T13:00:00.208Z","level":"info","msg":"a","elapsed":0.5}`: {
			level: slog.LevelDebug, text: "a",
		},
	} {
		var line bytes.Buffer
		if err := jsonLines(&line).Handle(t.Context(), m.record(at, time.Second/2)); err != nil {
			t.Error(err)
		}
		if got := line.String(); got != want+"\n" {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	for settings, want := range map[Settings][]bool{
		{}:                           {false, true, true, true},
		{Verbose: true}:              {true, true, true, true},
		{Quiet: true}:                {false, false, false, true},
		{Quiet: true, Verbose: true}: {true, false, false, true},
	} {
		logger := New(time.Now(), settings).Logger()
		for i, level := range levels {
			if got := logger.Enabled(t.Context(), level); got != want[i] {
				t.Errorf("%+v, %v: %v", settings, level, got)
			}
		}
	}
}
