package cli

import (
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"90": 90 * time.Second, "1.5": 1500 * time.Millisecond, "90s": 90 * time.Second, "5m": 5 * time.Minute,
		"1h30m": 90 * time.Minute, "0": 0, "0s": 0, ".5": 500 * time.Millisecond, "+2": 2 * time.Second,
	} {
		var d time.Duration
		if err := duration(&d)(text); err != nil || d != want {
			t.Errorf("%q is %v, %v; want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"", " ", "x", "-1", "-1s", "5 m", "5x", "1e300", "inf", "-inf", "nan", "9223372037", "1,5", "m"} {
		d := time.Minute
		if err := duration(&d)(text); err == nil || d != time.Minute {
			t.Errorf("%q is accepted as %v", text, d)
		}
	}
	var d time.Duration
	if err := positive(&d)("0"); err == nil {
		t.Error("0 is accepted where it makes no sense")
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	var m map[string]string
	set := metadata(&m)
	for _, bad := range []string{"", "x", "=x"} {
		if set(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if err := set("k=a=b"); err != nil || m["k"] != "a=b" {
		t.Errorf("%v, %v", m, err)
	}
	if err := set("k=again"); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("twice: %v", err)
	}
	if err := set("long=" + strings.Repeat("x", maxMetadata)); err == nil {
		t.Error("metadata without an end")
	}
}

func TestMetadataHasABound(t *testing.T) {
	t.Parallel()
	set := metadata(new(map[string]string))
	if err := set("k=" + strings.Repeat("x", maxMetadata-1)); err != nil {
		t.Error(err)
	}
	if err := set("l=x"); err == nil || !strings.HasPrefix(err.Error(), "more than ") || !strings.HasSuffix(err.Error(), " bytes in all") {
		t.Errorf("got %v", err)
	}
}
