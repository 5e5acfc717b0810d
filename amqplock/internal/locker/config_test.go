package locker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	good := Config{Ref: wire.Ref{Kind: wire.Mutex, Name: "x"}}
	tests := []struct {
		name   string
		change func(*Config)
		want   string // empty: valid
	}{
		{"defaults", func(*Config) {}, ""},
		{"no kind", func(c *Config) { c.Kind = "" }, "neither mutex nor semaphore"},
		{"bad name", func(c *Config) { c.Name = "amq.x" }, "lock name"},
		{"slots", func(c *Config) { c.Slots = -1 }, "slots"},
		{"too many slots", func(c *Config) { c.Slots = wire.MaxSlots + 1 }, "slots"},
		{"a mutex with slots", func(c *Config) { c.Slots = 3 }, "a mutex has one slot"},
		{"heartbeat of 1s", func(c *Config) { c.Heartbeat = time.Second }, "heartbeat 1s"},
		{
			"heartbeat with a fraction",
			func(c *Config) { c.Heartbeat = 2500 * time.Millisecond },
			"whole seconds",
		},
		{
			"heartbeat that does not fit the wire",
			func(c *Config) { c.Heartbeat = 70000 * time.Second },
			"heartbeat",
		},
		{"timings just possible", func(c *Config) { c.StopTime = 11 * time.Second }, ""},
		{"timings just impossible", func(c *Config) { c.StopTime = 11*time.Second + 1 }, "for both"},
		{"check interval too long", func(c *Config) { c.CheckInterval = 15 * time.Second }, "for both"},
		{"check interval too short", func(c *Config) { c.CheckInterval = 1 }, "at least 10ms"},
		{"negative", func(c *Config) { c.StopTime = -1 }, "negative"},
		{"negative connect timeout", func(c *Config) { c.ConnectTimeout = -1 }, "negative"},
		{
			"url",
			func(c *Config) { c.URLs = []string{"http://localhost/"} },
			"broker URL: does not begin with amqp",
		},
		{
			"second url",
			func(c *Config) { c.URLs = []string{wire.DefaultURL, "amqp://host/a/b"} },
			"broker URL 2: a slash",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := good
			test.change(&cfg)
			err := cfg.Check()
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want nil", err)
			case test.want != "" &&
				(!errors.Is(err, fault.ErrConfig) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want ErrConfig with %q", err, test.want)
			}
		})
	}
}
