package amqplock

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	good := Config{Kind: Mutex, Name: "x"}
	tests := []struct {
		name   string
		change func(*Config)
		want   string // empty: valid
	}{
		{"defaults", func(*Config) {}, ""},
		{"no kind", func(c *Config) { c.Kind = "" }, "neither mutex nor semaphore"},
		{"bad name", func(c *Config) { c.Name = "amq.x" }, "lock name"},
		{"slots", func(c *Config) { c.Slots = -1 }, "slots"},
		{"too many slots", func(c *Config) { c.Slots = MaxSlots + 1 }, "slots"},
		{"heartbeat of 1s", func(c *Config) { c.Heartbeat = time.Second }, "heartbeat 1s"},
		{"heartbeat with a fraction", func(c *Config) { c.Heartbeat = 2500 * time.Millisecond }, "whole seconds"},
		{"heartbeat that does not fit the wire", func(c *Config) { c.Heartbeat = 70000 * time.Second }, "heartbeat"},
		{"timings just possible", func(c *Config) { c.StopTime = 11 * time.Second }, ""},
		{"timings just impossible", func(c *Config) { c.StopTime = 11*time.Second + 1 }, "do not fit"},
		{"check interval too long", func(c *Config) { c.CheckInterval = 15 * time.Second }, "do not fit"},
		{"negative", func(c *Config) { c.StopTime = -1 }, "negative"},
		{"negative connect timeout", func(c *Config) { c.ConnectTimeout = -1 }, "negative"},
		{"url", func(c *Config) { c.URL = "http://localhost/" }, "AMQP scheme"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := good
			test.change(&cfg)
			err := cfg.Validate()
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want nil", err)
			case test.want != "" && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want ErrConfig with %q", err, test.want)
			}
		})
	}
}

func TestParseURL(t *testing.T) {
	for _, good := range []string{
		"amqp://localhost", "amqps://u:p@host:5671/vhost", "amqp://u:p%2Fw@[::1]:5672/%2F", "amqp://",
		"amqps://host/?auth_mechanism=external", "amqp://host/a%40b", "amqp://[::1]",
	} {
		if _, err := parseURL(good); err != nil {
			t.Errorf("parseURL(%q) = %v", good, err)
		}
	}
	const secret = "sEcReT"
	for _, bad := range []string{
		"", "localhost:5672", "amqp://ho st/", "http://u:" + secret + "@host/",
		"amqp://u:" + secret + "/w@host/", // the password ends the host: "u" would be contacted
		"amqp://u:1/" + secret + "@host/", // the same, with a port that parses
		"amqp://u:1?" + secret + "@host/", // "?" as well
		"amqp://u:1#" + secret + "@host/", // and "#"
		"amqp://u:p@ss/" + secret + "@host/",
		"amqp:/host:9/", "amqp:host:9", "amqp://127.0.0.1:9:5/", "amqp://host:0/", "amqp://host:99999/",
		"amqp://u:" + secret + "%zz@host/", // bad escape
		"amqp://u:" + secret + "@host:port/",
		"amqp://host/?heartbeat=0", "amqp://host/?heartbeat=30", "amqp://host/?connection_timeout=1", "amqp://host/?channel_max=1",
	} {
		_, err := parseURL(bad)
		if !errors.Is(err, ErrConfig) {
			t.Errorf("parseURL(%q) = %v, want ErrConfig", bad, err)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("parseURL(%q) tells the password: %v", bad, err)
		}
	}
}

func TestBrokerStringHasNoCredentials(t *testing.T) {
	if got := (Broker{URL: "amqp://user:secret@[::1]:5673/team%2Fci"}).String(); got != "amqp://[::1]:5673/team/ci" {
		t.Errorf("got %q", got)
	}
	if got := (Broker{}).String(); got != "amqp://localhost:5672" {
		t.Errorf("got %q", got)
	}
}
