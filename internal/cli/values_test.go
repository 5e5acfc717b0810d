package cli

import (
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"90": 90 * time.Second, "1.5": 1500 * time.Millisecond, "90s": 90 * time.Second,
		"5m":    5 * time.Minute,
		"1h30m": 90 * time.Minute, "0": 0, "0s": 0, ".5": 500 * time.Millisecond, "+2": 2 * time.Second,
	} {
		if d, err := duration(text); err != nil || d != want {
			t.Errorf("%q is %v, %v; want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"", " ", "x", "-1", "-1s", "5 m", "5x", "1e300", "inf", "-inf",
		"nan", "9223372037", "1,5", "m"} {
		if d, err := duration(text); err == nil {
			t.Errorf("%q is accepted as %v", text, d)
		}
	}
}

func TestPriority(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"0": 0, "-100": -100, "+100": 100, "7": 7} {
		if n, err := priority(text); err != nil || n != want {
			t.Errorf("%q is %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"", "101", "-101", "high", "1.5", "99999999999999999999"} {
		_, err := priority(text)
		if err == nil || err.Error() != "must be a whole number from -100 to 100" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	add := metadata()
	for _, bad := range []string{"", "x", "=x"} {
		if _, err := add(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if m, err := add("k=a=b"); err != nil || m["k"] != "a=b" {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := add("k=again"); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("twice: %v", err)
	}
	if _, err := add("long=" + strings.Repeat("x", maxMetadata)); err == nil {
		t.Error("metadata without an end")
	}
}

func TestMetadataHasABound(t *testing.T) {
	t.Parallel()
	add := metadata()
	if _, err := add("k=" + strings.Repeat("x", maxMetadata-1)); err != nil {
		t.Error(err)
	}
	if _, err := add("l=x"); err == nil || !strings.HasPrefix(err.Error(), "more than ") ||
		!strings.HasSuffix(err.Error(), " bytes in all") {
		t.Errorf("got %v", err)
	}
}

// TestNonsense: a value that would make amqprun spin, or that a script has lost, is
// refused.
func TestNonsense(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"--check-interval 1us", "must be at least 10ms"},
		{"--check-interval 0", "must be at least 10ms"},
		{"--check-interval 9.9ms", "must be at least 10ms"},
		{"--check-interval 10ms", ""},
		{"--connect-timeout 1ns", "must be at least 10ms"},
		{"--heartbeat 0", "must be at least 10ms"},
		{"--progress 1us", "must be at least 10ms"},
		{"--progress 0", ""},
		{"--kill-after 0", ""},
		{"--password-file=", "has an empty value"},
		{"--cacert=", "has an empty value"},
		{"--cert=", "has an empty value"},
		{"--key=", "has an empty value"},
		{"--url-file=", "has an empty value"},
		{"--report=", "has an empty value"},
		{"--conflict-exit-code 256", "an exit status is from 0 to 255"},
		{"-E -1", "an exit status is from 0 to 255"},
	} {
		_, _, err := parse(append([]string{"amqprun"}, strings.Fields(c.args)...),
			runOptions(new(options)))
		if (err == nil) != (c.want == "") || err != nil && !strings.HasSuffix(err.Error(), ": "+c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}
